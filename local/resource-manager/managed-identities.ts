/**
 * The `identity` of a resource: what a client sends (`type` and the ids of user-assigned
 * identities) becomes what Azure answers (principal and client ids). A system-assigned principal
 * is made with the first request that asks for it and removed with the resource.
 */
import { ArmError } from "./arm-error.ts";
import {
  isJsonObject,
  mergePatch,
  objectAt,
  stringAt,
  type JsonObject,
  type JsonValue,
} from "./json.ts";
import type { LinkedAccess, ProviderContext, Resource } from "./provider.ts";
import { nameOf } from "./resource-id.ts";

const assignAction = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

/** Ids of user-assigned identities that a body assigns. */
function assignedIdentityIds(body: JsonObject): readonly string[] {
  const assigned = objectAt(objectAt(body, "identity"), "userAssignedIdentities");
  return Object.entries(assigned).flatMap(([id, value]) => (value === null ? [] : [id]));
}

/** Who assigns an identity needs `assign/action` on it; identities assigned before need none. */
export function identityLinkedAccess(
  body: JsonObject,
  existing: Resource | undefined,
): LinkedAccess[] {
  const before = new Set(
    existing === undefined ? [] : assignedIdentityIds(existing.body).map((id) => id.toLowerCase()),
  );
  return assignedIdentityIds(body)
    .filter((id) => !before.has(id.toLowerCase()))
    .map((id) => ({ id, action: assignAction }));
}

/** `body` with its `identity` as Azure answers it. Throws 400. */
export function resolveIdentity(
  context: ProviderContext,
  target: { id: string; existing: Resource | undefined },
  body: JsonObject,
): JsonObject {
  const { id, existing } = target;
  const wanted = body["identity"];
  const before = existing === undefined ? {} : objectAt(existing.body, "identity");
  if (!isJsonObject(wanted)) {
    // A PUT without identity leaves the one that exists alone.
    return Object.keys(before).length === 0 ? body : { ...body, identity: before };
  }
  const type = stringAt(wanted, "type") ?? "None";
  const kinds = type.split(",").map((kind) => kind.trim().toLowerCase());
  if (!kinds.every((kind) => ["none", "systemassigned", "userassigned"].includes(kind)))
    throw new ArmError(400, "InvalidIdentityType", `The identity type '${type}' is invalid.`, {
      target: "identity.type",
    });
  const { identity: _, ...rest } = body;
  removeSystemPrincipalUnless(context, id, kinds.includes("systemassigned"));
  if (kinds.includes("none")) return rest;
  const system = kinds.includes("systemassigned") ? systemAssigned(context, id) : {};
  const assigned = kinds.includes("userassigned") ? userAssigned(context, wanted, before) : {};
  return { ...rest, identity: { type, ...system, ...assigned } };
}

function systemAssigned(context: ProviderContext, id: string): JsonObject {
  const principal =
    context.principals.byResourceId(id) ??
    context.principals.create({ kind: "SystemAssigned", displayName: nameOf(id), resourceId: id });
  return { principalId: principal.objectId, tenantId: context.tenantId };
}

function removeSystemPrincipalUnless(context: ProviderContext, id: string, kept: boolean): void {
  if (kept) return;
  const principal = context.principals.byResourceId(id);
  if (principal?.kind === "SystemAssigned") context.principals.remove(principal.objectId);
}

function userAssigned(
  context: ProviderContext,
  wanted: JsonObject,
  before: JsonObject,
): JsonObject {
  const merged = mergePatch(
    objectAt(before, "userAssignedIdentities"),
    objectAt(wanted, "userAssignedIdentities"),
  );
  const ids = Object.keys(merged);
  if (ids.length === 0)
    throw new ArmError(
      400,
      "InvalidUserAssignedIdentities",
      "The user-assigned identities property keys cannot be empty when the identity type contains 'UserAssigned'.",
      { target: "identity.userAssignedIdentities" },
    );
  const identities: Record<string, JsonValue> = {};
  for (const id of ids) {
    const principal = context.principals.byResourceId(id);
    if (principal?.kind !== "UserAssigned")
      throw new ArmError(
        400,
        "FailedIdentityOperation",
        `Identity operation failed: the user-assigned identity '${id}' was not found.`,
        { target: "identity.userAssignedIdentities" },
      );
    identities[id] = { principalId: principal.objectId, clientId: principal.clientId };
  }
  return { userAssignedIdentities: identities };
}
