import { parseResourceId, type ResourceId } from "./resource-id.ts";

/** What the path of a request addresses. */
export type Route =
  | { readonly kind: "subscriptions" }
  | { readonly kind: "subscription"; readonly subscriptionId: string }
  | { readonly kind: "locations"; readonly subscriptionId: string }
  | { readonly kind: "groups"; readonly subscriptionId: string }
  | { readonly kind: "group"; readonly subscriptionId: string; readonly group: string }
  | { readonly kind: "allResources"; readonly subscriptionId: string; readonly group?: string }
  | {
      readonly kind: "extension";
      /** Scope of the role assignment: `""`, a subscription, a group or a resource. */
      readonly scope: string;
      readonly subscriptionId?: string;
      readonly type: "roleAssignments" | "roleDefinitions";
      readonly name?: string;
    }
  | {
      readonly kind: "operation";
      readonly subscriptionId: string;
      readonly form: "status" | "result";
      readonly operationId: string;
    }
  | {
      readonly kind: "provider";
      readonly subscriptionId: string;
      readonly group?: string;
      readonly namespace: string;
      /** Segments after the namespace: types and names in turn, perhaps ending in a type. */
      readonly segments: readonly string[];
    };

const extensionPattern =
  /^(.*?)\/providers\/microsoft\.authorization\/(roleassignments|roledefinitions)(?:\/([^/]+))?$/i;
const operationPattern =
  /^\/subscriptions\/([^/]+)\/providers\/[^/]+\/locations\/[^/]+\/(operations|operationresults)\/([^/]+)$/i;
const providerPattern =
  /^\/subscriptions\/([^/]+)(?:\/resourcegroups\/([^/]+))?\/providers\/([^/]+)\/(.+)$/i;
const groupPattern = /^\/subscriptions\/([^/]+)\/resourcegroups\/([^/]+)(\/resources)?$/i;
const subscriptionPattern =
  /^\/subscriptions\/([^/]+)(?:\/(locations|resourcegroups|resources))?$/i;

/** The route of a decoded path without trailing slash, or undefined. */
export function parseRoute(path: string): Route | undefined {
  if (/^\/subscriptions$/i.test(path)) return { kind: "subscriptions" };
  return (
    parseExtension(path) ?? parseOperation(path) ?? parseProvider(path) ?? parseContainer(path)
  );
}

function parseExtension(path: string): Route | undefined {
  const match = extensionPattern.exec(path);
  if (match === null) return undefined;
  const [, scope = "", type = "", name] = match;
  const subscriptionId = /^\/subscriptions\/([^/]+)/i.exec(scope)?.[1];
  return {
    kind: "extension",
    scope,
    ...(subscriptionId === undefined ? {} : { subscriptionId }),
    type: type.toLowerCase() === "roleassignments" ? "roleAssignments" : "roleDefinitions",
    ...(name === undefined ? {} : { name }),
  };
}

function parseOperation(path: string): Route | undefined {
  const [, subscriptionId, form, operationId] = operationPattern.exec(path) ?? [];
  if (subscriptionId === undefined || form === undefined || operationId === undefined)
    return undefined;
  return {
    kind: "operation",
    subscriptionId,
    form: form.toLowerCase() === "operations" ? "status" : "result",
    operationId,
  };
}

function parseProvider(path: string): Route | undefined {
  const [, subscriptionId, group, namespace, rest] = providerPattern.exec(path) ?? [];
  if (subscriptionId === undefined || namespace === undefined || rest === undefined)
    return undefined;
  return {
    kind: "provider",
    subscriptionId,
    ...(group === undefined ? {} : { group }),
    namespace,
    segments: rest.split("/"),
  };
}

function parseContainer(path: string): Route | undefined {
  const [, groupSubscription, group, resources] = groupPattern.exec(path) ?? [];
  if (groupSubscription !== undefined && group !== undefined) {
    const where = { subscriptionId: groupSubscription, group };
    return resources === undefined
      ? { kind: "group", ...where }
      : { kind: "allResources", ...where };
  }
  const [, subscriptionId, below] = subscriptionPattern.exec(path) ?? [];
  if (subscriptionId === undefined) return undefined;
  switch (below?.toLowerCase()) {
    case undefined:
      return { kind: "subscription", subscriptionId };
    case "locations":
      return { kind: "locations", subscriptionId };
    case "resourcegroups":
      return { kind: "groups", subscriptionId };
    default:
      return { kind: "allResources", subscriptionId };
  }
}

/** The resource id made of the segments of a provider route; an even number of them. */
export function resourceIdOf(
  route: Extract<Route, { kind: "provider" }>,
  segments: readonly string[],
): ResourceId | undefined {
  const group = route.group === undefined ? "" : `/resourceGroups/${route.group}`;
  return parseResourceId(
    `/subscriptions/${route.subscriptionId}${group}/providers/${route.namespace}/${segments.join("/")}`,
  );
}
