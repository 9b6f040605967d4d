import { ArmError } from "./arm-error.ts";
import {
  findType,
  groupIdOf,
  typeOfResource,
  type Call,
  type Core,
  type RegisteredType,
} from "./core.ts";
import type { Method, RequestContext } from "./provider.ts";
import { checkApiVersion, notFound } from "./request-checks.ts";
import { formatResourceId, parentIdOf, type ResourceId } from "./resource-id.ts";
import { resourceIdOf, type Route } from "./routing.ts";

/** What a path below a provider addresses. */
export type Target =
  | { readonly kind: "resource"; readonly id: ResourceId; readonly type: RegisteredType }
  | {
      readonly kind: "below";
      readonly id: ResourceId;
      readonly type: RegisteredType;
      readonly name: string;
    }
  | {
      readonly kind: "collection";
      readonly type: RegisteredType;
      /** Absent for a top-level type. */
      readonly parent?: ResourceId;
      /** Ids of the listed resources begin with this. */
      readonly scope: string;
    };

type ProviderRoute = Extract<Route, { kind: "provider" }>;

/** Throws 404 for what no provider knows. */
export function resolveTarget(core: Core, call: Call, route: ProviderRoute): Target {
  const { segments, namespace } = route;
  const types = segments.filter((_, index) => index % 2 === 0);
  if (!core.providers.some((item) => item.namespace.toLowerCase() === namespace.toLowerCase()))
    throw new ArmError(
      404,
      "InvalidResourceNamespace",
      `The resource namespace '${namespace}' is invalid.`,
    );
  if (segments.length % 2 === 0) {
    const type = demandType(core, call, { namespace, types });
    return { kind: "resource", type, id: demandId(core, route, segments, type) };
  }
  const collection = call.request.method === "GET" ? findType(core, namespace, types) : undefined;
  if (collection !== undefined) {
    checkApiVersion(core, collection, call.apiVersion);
    return collectionTarget(core, route, collection);
  }
  const type = demandType(core, call, { namespace, types: types.slice(0, -1) });
  const id = demandId(core, route, segments.slice(0, -1), type);
  return { kind: "below", type, id, name: segments.at(-1) ?? "" };
}

function collectionTarget(core: Core, route: ProviderRoute, type: RegisteredType): Target {
  const group =
    route.group === undefined
      ? `/subscriptions/${route.subscriptionId}`
      : groupIdOf({ subscriptionId: route.subscriptionId, resourceGroup: route.group });
  if (route.segments.length === 1) return { kind: "collection", type, scope: group };
  const parent = resourceIdOf(route, route.segments.slice(0, -1));
  if (parent === undefined) throw invalidType(type.fullType, "");
  return { kind: "collection", type, parent, scope: formatResourceId(canonical(core, parent)) };
}

function demandType(
  core: Core,
  call: Call,
  wanted: { namespace: string; types: readonly string[] },
): RegisteredType {
  const type = findType(core, wanted.namespace, wanted.types);
  if (type === undefined)
    throw invalidType(`${wanted.namespace}/${wanted.types.join("/")}`, call.apiVersion);
  checkApiVersion(core, type, call.apiVersion);
  return type;
}

function invalidType(fullType: string, apiVersion: string): ArmError {
  const [namespace = "", ...types] = fullType.split("/");
  return new ArmError(
    404,
    "InvalidResourceType",
    `The resource type '${types.join("/")}' could not be found in the namespace '${namespace}' for api version '${apiVersion}'.`,
  );
}

function demandId(
  core: Core,
  route: ProviderRoute,
  segments: readonly string[],
  type: RegisteredType,
): ResourceId {
  const id = resourceIdOf(route, segments);
  if (id === undefined) throw invalidType(type.fullType, "");
  return canonical(core, id);
}

/** The id with the registered spelling of its types and the stored spelling of its group. */
function canonical(core: Core, id: ResourceId): ResourceId {
  const type = typeOfResource(core, id);
  const group =
    id.resourceGroup === undefined ? undefined : core.resources.get(groupIdOf(id))?.name;
  return {
    ...id,
    ...(group === undefined ? {} : { resourceGroup: group }),
    ...(type === undefined
      ? {}
      : { namespace: type.provider.namespace, types: type.definition.type.split("/") }),
  };
}

/** `Microsoft.Compute/disks/write` and its like. */
export function actionOf(type: RegisteredType, method: Method, below?: string): string {
  switch (method) {
    case "GET":
      return `${type.fullType}/read`;
    case "PUT":
    case "PATCH":
      return `${type.fullType}/write`;
    case "DELETE":
      return `${type.fullType}/delete`;
    case "POST":
      return `${type.fullType}/${below ?? ""}/action`;
  }
}

export function requestContext(core: Core, call: Call, id: ResourceId): RequestContext {
  const text = formatResourceId(id);
  return {
    ...core.context,
    id: core.resources.get(text)?.id ?? text,
    parsedId: id,
    apiVersion: call.apiVersion,
    query: call.request.query,
    principalId: call.principalId,
  };
}

/** True when the resource is stored or exists implicitly with its parent. */
export function exists(core: Core, call: Call, id: ResourceId): boolean {
  if (core.resources.get(formatResourceId(id)) !== undefined) return true;
  const type = typeOfResource(core, id);
  if (type?.definition.implicit?.(requestContext(core, call, id)) === undefined) return false;
  const parent = parentIdOf(id);
  return parent === undefined || exists(core, call, parent);
}

/** Throws 404 when the resource that should contain `id` does not exist. */
export function checkParent(core: Core, call: Call, id: ResourceId): void {
  const parent = parentIdOf(id);
  if (parent === undefined || exists(core, call, parent)) return;
  if (call.request.method === "GET") throw notFound(parent);
  throw new ArmError(
    404,
    "ParentResourceNotFound",
    `Failed to perform '${call.request.method === "DELETE" ? "delete" : "write"}' on resource(s) of type '${id.types.join("/")}', because the parent resource '${formatResourceId(parent)}' could not be found.`,
  );
}
