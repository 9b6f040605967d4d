/**
 * Role definitions and assignments: extension resources, stored under the scope they apply to.
 * https://learn.microsoft.com/rest/api/authorization/role-assignments
 */
import { z } from "zod";
import { ArmError } from "../arm-error.ts";
import type { ArmResponse } from "../arm-message.ts";
import { demandAccess, type Call, type Core } from "../core.ts";
import { objectAt, stringAt, type JsonObject } from "../json.ts";
import { answerPage } from "../listing.ts";
import type { Resource } from "../provider.ts";
import { bodyObject } from "../request-checks.ts";
import { idKey } from "../resource-id.ts";
import type { Route } from "../routing.ts";
import { assignmentType, definitionType, findRole } from "./access-check.ts";
import { builtInRoles, permissionSchema, type RoleDefinition } from "./role-definitions.ts";

type ExtensionRoute = Extract<Route, { kind: "extension" }>;

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const assignmentSchema = z.object({
  roleDefinitionId: z.string().min(1),
  principalId: z.string().regex(guidPattern),
  principalType: z.string().optional(),
  description: z.string().optional(),
});
const definitionSchema = z.object({
  roleName: z.string().min(1),
  description: z.string().default(""),
  permissions: z.array(permissionSchema).min(1),
  assignableScopes: z.array(z.string()).min(1),
});

export function answerExtension(core: Core, call: Call, route: ExtensionRoute): ArmResponse {
  const { method } = call.request;
  const full = `Microsoft.Authorization/${route.type}`;
  const verbs = { GET: "read", PUT: "write", DELETE: "delete", PATCH: "write", POST: "write" };
  const scope = route.scope === "" ? "/" : route.scope;
  demandAccess(core, call, { action: `${full}/${verbs[method]}`, scope });
  if (route.name === undefined) {
    if (method !== "GET") throw notSupported(method, full);
    return route.type === "roleAssignments"
      ? listAssignments(core, call, route)
      : listDefinitions(core, call, route);
  }
  const id = `${route.scope}/providers/${full}/${route.name}`;
  if (method === "GET") return { status: 200, body: render(core, id, route) };
  if (method === "DELETE") {
    const existing = core.resources.get(id);
    if (existing === undefined) return { status: 204 };
    const body = render(core, id, route);
    core.resources.delete(id);
    return { status: 200, body };
  }
  if (method !== "PUT") throw notSupported(method, full);
  return route.type === "roleAssignments"
    ? putAssignment(core, call, { id, scope, name: route.name })
    : putDefinition(core, call, { id, name: route.name });
}

function putAssignment(
  core: Core,
  call: Call,
  put: { id: string; scope: string; name: string },
): ArmResponse {
  if (!guidPattern.test(put.name))
    throw new ArmError(
      400,
      "InvalidRoleAssignmentId",
      `The role assignment ID '${put.name}' is not valid. The role assignment ID must be a GUID.`,
    );
  const properties = parse(assignmentSchema, objectAt(bodyObject(call), "properties"));
  if (findRole(core.resources, properties.roleDefinitionId) === undefined)
    throw new ArmError(
      404,
      "RoleDefinitionDoesNotExist",
      `The specified role definition with ID '${properties.roleDefinitionId}' does not exist.`,
    );
  const principal = core.context.principals.byObjectId(properties.principalId);
  if (principal === undefined)
    throw new ArmError(
      400,
      "PrincipalNotFound",
      `Principal ${properties.principalId} does not exist in the directory ${core.context.tenantId}. Check that you have the correct principal ID.`,
    );
  const existing = core.resources.get(put.id);
  const same = assignmentsAt(core, put.scope).find(
    ({ id, body }) =>
      idKey(id) !== idKey(put.id) &&
      stringAt(objectAt(body, "properties"), "principalId") === principal.objectId &&
      roleGuid(stringAt(objectAt(body, "properties"), "roleDefinitionId")) ===
        roleGuid(properties.roleDefinitionId),
  );
  if (same !== undefined)
    throw new ArmError(
      409,
      "RoleAssignmentExists",
      `The role assignment already exists. The ID of the conflicting role assignment is ${same.name.replaceAll("-", "")}.`,
    );
  if (
    existing !== undefined &&
    stringAt(objectAt(existing.body, "properties"), "principalId") !== principal.objectId
  )
    throw new ArmError(
      400,
      "RoleAssignmentUpdateNotPermitted",
      "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
    );
  storeAssignment(core.resources, {
    ...put,
    principalId: principal.objectId,
    principalType: principalTypeOf(principal.kind),
    roleDefinitionId: properties.roleDefinitionId,
  });
  const stored = core.resources.get(put.id);
  return {
    status: existing === undefined ? 201 : 200,
    body: stored === undefined ? {} : renderStored(stored),
  };
}

/** Stores an assignment without asking who does it: for requests that were checked, and for seeds. */
export function storeAssignment(
  resources: Core["resources"],
  assignment: {
    id: string;
    scope: string;
    principalId: string;
    principalType: string;
    roleDefinitionId: string;
  },
): void {
  const { id, scope, principalId, principalType, roleDefinitionId } = assignment;
  const guid = roleGuid(roleDefinitionId);
  const subscription = /^\/subscriptions\/[^/]+/i.exec(scope)?.[0] ?? "";
  const role = `${subscription}/providers/${definitionType}/${guid}`;
  resources.put(id, {
    body: { properties: { roleDefinitionId: role, principalId, principalType, scope } },
  });
}

export function principalTypeOf(kind: string): string {
  return kind === "User" ? "User" : "ServicePrincipal";
}

function putDefinition(core: Core, call: Call, put: { id: string; name: string }): ArmResponse {
  if (!guidPattern.test(put.name))
    throw new ArmError(
      400,
      "InvalidRoleDefinitionId",
      `The role definition ID '${put.name}' is not valid. The role definition ID must be a GUID.`,
    );
  if (builtInRoles.some(({ name }) => name === put.name.toLowerCase()))
    throw new ArmError(403, "RoleDefinitionUpdateNotAllowed", "Built-in roles cannot be changed.");
  const properties = parse(definitionSchema, objectAt(bodyObject(call), "properties"));
  const sameName = core.resources
    .list(definitionType)
    .find(
      ({ id, body }) =>
        idKey(id) !== idKey(put.id) &&
        stringAt(objectAt(body, "properties"), "roleName") === properties.roleName,
    );
  if (sameName !== undefined)
    throw new ArmError(
      409,
      "RoleDefinitionWithSameNameExists",
      `A custom role with the same name already exists in this directory: '${properties.roleName}'.`,
    );
  const existing = core.resources.get(put.id);
  const stored = core.resources.put(put.id, {
    body: { properties: { ...properties, type: "CustomRole" } },
  });
  return { status: existing === undefined ? 201 : 200, body: renderStored(stored) };
}

function listAssignments(core: Core, call: Call, route: ExtensionRoute): ArmResponse {
  const filter = call.request.query.get("$filter");
  const [, principalId] =
    /^(?:principalId|assignedTo)(?: eq |\()'([^']+)'\)?$/i.exec(filter ?? "") ?? [];
  const atScopeOnly = filter !== undefined && /^atScope\(\)$/i.test(filter);
  if (filter !== undefined && filter !== "" && principalId === undefined && !atScopeOnly)
    throw new ArmError(
      400,
      "InvalidFilterInQueryString",
      `Invalid $filter '${filter}' specified in the query string.`,
    );
  const scope = idKey(route.scope);
  const resources = core.resources.list(assignmentType).filter(({ body }) => {
    const properties = objectAt(body, "properties");
    const at = idKey(stringAt(properties, "scope") ?? "");
    const above = scope === at || at === "/" || scope.startsWith(`${at}/`);
    const below = at.startsWith(`${scope}/`);
    if (!(above || (below && !atScopeOnly))) return false;
    return (
      principalId === undefined || stringAt(properties, "principalId") === principalId.toLowerCase()
    );
  });
  return answerPage(core, call.request, { resources, render: renderStored });
}

function listDefinitions(core: Core, call: Call, route: ExtensionRoute): ArmResponse {
  const filter = call.request.query.get("$filter") ?? "";
  const [, roleName] = /^roleName eq '([^']+)'$/i.exec(filter) ?? [];
  const all = [
    ...builtInRoles.map((role) => builtInJson(route.scope, role)),
    ...core.resources.list(definitionType).map(renderStored),
  ];
  const value = all.filter(
    (item) =>
      roleName === undefined || stringAt(objectAt(item, "properties"), "roleName") === roleName,
  );
  return { status: 200, body: { value } };
}

function render(core: Core, id: string, route: ExtensionRoute): JsonObject {
  const name = route.name ?? "";
  const role = builtInRoles.find((item) => item.name === name.toLowerCase());
  if (route.type === "roleDefinitions" && role !== undefined) return builtInJson(route.scope, role);
  const stored =
    core.resources.get(id) ??
    (route.type === "roleDefinitions"
      ? core.resources.list(definitionType).find((item) => idKey(item.name) === idKey(name))
      : undefined);
  if (stored !== undefined) return renderStored(stored);
  const what = route.type === "roleAssignments" ? "RoleAssignment" : "RoleDefinition";
  throw new ArmError(
    404,
    what === "RoleAssignment" ? "RoleAssignmentNotFound" : "RoleDefinitionDoesNotExist",
    `The ${what} with ID '${name}' is not found.`,
  );
}

function renderStored(resource: Resource): JsonObject {
  return { id: resource.id, name: resource.name, type: resource.type, ...resource.body };
}

function builtInJson(scope: string, role: RoleDefinition): JsonObject {
  const subscription = /^\/subscriptions\/[^/]+/i.exec(scope)?.[0] ?? "";
  const { name, roleName, type, permissions, assignableScopes } = role;
  return {
    id: `${subscription}/providers/${definitionType}/${name}`,
    name,
    type: definitionType,
    properties: {
      roleName,
      type,
      description: "",
      assignableScopes,
      permissions: permissions.map((permission) => ({ ...permission })),
    },
  };
}

function assignmentsAt(core: Core, scope: string): readonly Resource[] {
  return core.resources
    .list(assignmentType)
    .filter(
      ({ body }) => idKey(stringAt(objectAt(body, "properties"), "scope") ?? "") === idKey(scope),
    );
}

function roleGuid(id: string | undefined): string {
  return (id ?? "").slice((id ?? "").lastIndexOf("/") + 1).toLowerCase();
}

function parse<Output>(schema: z.ZodType<Output>, value: JsonObject): Output {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = ["properties", ...(issue?.path ?? [])].join(".");
  throw new ArmError(
    400,
    "InvalidRequestContent",
    `The request content is not valid and could not be deserialized: '${path}: ${issue?.message ?? "invalid"}'.`,
    { target: path },
  );
}

function notSupported(method: string, type: string): ArmError {
  return new ArmError(
    405,
    "MethodNotAllowed",
    `The method '${method}' is not supported for '${type}'.`,
  );
}
