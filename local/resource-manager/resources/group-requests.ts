/**
 * Subscriptions, their locations, resource groups and the general resource lists
 * (Microsoft.Resources). Deleting a group deletes everything in it.
 * https://learn.microsoft.com/rest/api/resources/resource-groups
 */
import { ArmError } from "../arm-error.ts";
import type { ArmResponse } from "../arm-message.ts";
import { demandAccess, groupIdOf, type Call, type Core, type Subscription } from "../core.ts";
import { objectAt, stringAt, type JsonObject } from "../json.ts";
import { answerPage, filterResources } from "../listing.ts";
import { pollingHeaders } from "../operation-answers.ts";
import type { Resource } from "../provider.ts";
import { bodyObject, checkTags, groupNotFound, normaliseLocation } from "../request-checks.ts";
import { renderResource, withProvisioningState } from "../resource-rendering.ts";
import { demandListAccess } from "../resource-reads.ts";
import { locationJson } from "./locations.ts";

export const groupType = "Microsoft.Resources/resourceGroups";
const groupAction = "Microsoft.Resources/subscriptions/resourceGroups";
const groupNamePattern = /^[\w.()-]{0,89}[\w()-]$/;

export function answerSubscriptions(core: Core, call: Call): ArmResponse {
  const readable = core.subscriptions.filter(
    ({ subscriptionId }) =>
      core.access.allowsSomewhereBelow(
        call.principalId,
        "Microsoft.Resources/subscriptions/read",
        `/subscriptions/${subscriptionId}`,
      ) ||
      core.access.allows(
        call.principalId,
        "Microsoft.Resources/subscriptions/read",
        `/subscriptions/${subscriptionId}`,
      ),
  );
  call.trace.action = "Microsoft.Resources/subscriptions/read";
  return { status: 200, body: { value: readable.map((item) => subscriptionJson(core, item)) } };
}

export function answerSubscription(
  core: Core,
  call: Call,
  subscription: Subscription,
): ArmResponse {
  const scope = `/subscriptions/${subscription.subscriptionId}`;
  demandAccess(core, call, { action: "Microsoft.Resources/subscriptions/read", scope });
  return { status: 200, body: subscriptionJson(core, subscription) };
}

export function answerLocations(core: Core, call: Call, subscriptionId: string): ArmResponse {
  const scope = `/subscriptions/${subscriptionId}`;
  demandAccess(core, call, { action: "Microsoft.Resources/subscriptions/locations/read", scope });
  const value = core.context.locations.map((name) => locationJson(subscriptionId, name));
  return { status: 200, body: { value } };
}

export function answerGroups(core: Core, call: Call, subscriptionId: string): ArmResponse {
  const scope = `/subscriptions/${subscriptionId}`;
  const action = `${groupAction}/read`;
  const all = demandListAccess(core, call, { action, scope });
  const groups = core.resources
    .list(groupType, scope)
    .filter(({ id }) => all || core.access.allows(call.principalId, action, id));
  const resources = filterResources(groups, call.request.query.get("$filter"));
  return answerPage(core, call.request, {
    resources,
    render: (item) => renderResource(core, item),
  });
}

/** Resources of a subscription or group, without their properties. */
export function answerAllResources(
  core: Core,
  call: Call,
  where: { subscriptionId: string; group?: string },
): ArmResponse {
  const scope =
    where.group === undefined
      ? `/subscriptions/${where.subscriptionId}`
      : groupIdOf({ subscriptionId: where.subscriptionId, resourceGroup: where.group });
  const action = "Microsoft.Resources/subscriptions/resources/read";
  const all = demandListAccess(core, call, { action, scope });
  if (where.group !== undefined && core.resources.get(scope) === undefined)
    throw groupNotFound(where.group);
  const tracked = core.resources
    .descendants(scope)
    .filter(({ type, body }) => type !== groupType && stringAt(body, "location") !== undefined)
    .filter(({ id }) => all || core.access.allows(call.principalId, action, id));
  const resources = filterResources(tracked, call.request.query.get("$filter"));
  const render = (resource: Resource): JsonObject => {
    const { properties: _, etag: __, ...envelope } = renderResource(core, resource);
    return envelope;
  };
  return answerPage(core, call.request, { resources, render });
}

export function answerGroup(
  core: Core,
  call: Call,
  where: { subscriptionId: string; group: string },
): ArmResponse {
  const id = groupIdOf({ subscriptionId: where.subscriptionId, resourceGroup: where.group });
  const existing = core.resources.get(id);
  switch (call.request.method) {
    case "GET":
      demandAccess(core, call, { action: `${groupAction}/read`, scope: id });
      if (existing === undefined) throw groupNotFound(where.group);
      return { status: 200, body: renderResource(core, existing) };
    case "PUT":
      demandAccess(core, call, { action: `${groupAction}/write`, scope: id });
      return putGroup(core, call, { id, name: where.group, existing });
    case "PATCH":
      demandAccess(core, call, { action: `${groupAction}/write`, scope: id });
      if (existing === undefined) throw groupNotFound(where.group);
      return patchGroup(core, call, existing);
    case "DELETE":
      demandAccess(core, call, { action: `${groupAction}/delete`, scope: id });
      if (existing === undefined) throw groupNotFound(where.group);
      return deleteGroup(core, call, { existing, subscriptionId: where.subscriptionId });
    case "POST":
      throw new ArmError(405, "MethodNotAllowed", "POST is not supported on resource groups.");
  }
}

function putGroup(
  core: Core,
  call: Call,
  put: { id: string; name: string; existing: Resource | undefined },
): ArmResponse {
  const { id, name, existing } = put;
  if (!groupNamePattern.test(name))
    throw new ArmError(
      400,
      "InvalidResourceGroup",
      "The provided resource group name contains these invalid characters or has an invalid length. The name can only be a letter, digit, '-', '.', '(', ')' or '_'.",
    );
  const body = bodyObject(call);
  checkTags(body);
  const location = normaliseLocation(stringAt(body, "location") ?? "");
  if (location === "")
    throw new ArmError(
      400,
      "LocationRequired",
      "The location property is required for this definition.",
    );
  if (!core.context.locations.includes(location))
    throw new ArmError(
      400,
      "LocationNotAvailableForResourceGroup",
      `The provided location '${location}' is not available for resource group. List of available regions is '${core.context.locations.join(",")}'.`,
    );
  const before = existing === undefined ? undefined : stringAt(existing.body, "location");
  if (before !== undefined && before !== location)
    throw new ArmError(
      409,
      "InvalidResourceGroupLocation",
      `Invalid resource group location '${location}'. The Resource group already exists in location '${before}'.`,
    );
  const stored = core.resources.put(id, {
    body: withProvisioningState({ location, tags: objectAt(body, "tags") }, "Succeeded"),
  });
  return { status: existing === undefined ? 201 : 200, body: renderResource(core, stored) };
}

function patchGroup(core: Core, call: Call, existing: Resource): ArmResponse {
  const body = bodyObject(call);
  checkTags(body);
  const tags =
    body["tags"] === undefined ? objectAt(existing.body, "tags") : objectAt(body, "tags");
  const stored = core.resources.put(existing.id, { body: { ...existing.body, tags } });
  return { status: 200, body: renderResource(core, stored) };
}

function deleteGroup(
  core: Core,
  call: Call,
  group: { existing: Resource; subscriptionId: string },
): ArmResponse {
  const { existing, subscriptionId } = group;
  const operationId = core.operations.runningOn(existing.id)?.id ?? core.context.newGuid();
  if (core.operations.runningOn(existing.id) === undefined) {
    core.resources.put(existing.id, { body: withProvisioningState(existing.body, "Deleting") });
    core.operations.start({
      id: operationId,
      resourceId: existing.id,
      namespace: "Microsoft.Resources",
      method: "DELETE",
      workName: "deleteGroup",
      input: {},
      setsState: true,
    });
  }
  const headers = pollingHeaders(core, call.request, {
    operationId,
    style: "location",
    subscriptionId,
    namespace: "Microsoft.Resources",
    location: stringAt(existing.body, "location") ?? "global",
    apiVersion: call.apiVersion,
  });
  return { status: 202, headers };
}

function subscriptionJson(core: Core, subscription: Subscription): JsonObject {
  const { subscriptionId, displayName } = subscription;
  return {
    id: `/subscriptions/${subscriptionId}`,
    subscriptionId,
    displayName,
    state: "Enabled",
    tenantId: core.context.tenantId,
    authorizationSource: "RoleBased",
    subscriptionPolicies: { quotaId: "PayAsYouGo_2014-09-01", spendingLimit: "Off" },
  };
}
