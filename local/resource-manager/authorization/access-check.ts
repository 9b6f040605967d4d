import { ArmError } from "../arm-error.ts";
import { isJsonObject, objectAt, stringAt } from "../json.ts";
import type { LinkedAccess, Resource, ResourceStore } from "../provider.ts";
import { idKey } from "../resource-id.ts";
import {
  builtInRoles,
  grantsAction,
  grantsDataAction,
  permissionSchema,
  type Permission,
} from "./role-definitions.ts";

export const assignmentType = "Microsoft.Authorization/roleAssignments";
export const definitionType = "Microsoft.Authorization/roleDefinitions";

/** Decides by the role assignments that are stored as resources. */
export class AccessCheck {
  readonly #resources: ResourceStore;

  constructor(resources: ResourceStore) {
    this.#resources = resources;
  }

  /** True when an assignment at `scope` or above gives `action`. */
  allows(principalId: string, action: string, scope: string): boolean {
    return this.#assignmentsOf(principalId).some(
      (assignment) =>
        isWithin(scope, scopeOf(assignment)) &&
        grantsAction(this.#permissionsOf(assignment), action),
    );
  }

  /** True when an assignment at `scope` or above gives the data action. */
  allowsData(principalId: string, dataAction: string, scope: string): boolean {
    return this.#assignmentsOf(principalId).some(
      (assignment) =>
        isWithin(scope, scopeOf(assignment)) &&
        grantsDataAction(this.#permissionsOf(assignment), dataAction),
    );
  }

  /** True when some assignment at or below `scope` gives `action`: a list there is filtered, not refused. */
  allowsSomewhereBelow(principalId: string, action: string, scope: string): boolean {
    return this.#assignmentsOf(principalId).some(
      (assignment) =>
        isWithin(scopeOf(assignment), scope) &&
        grantsAction(this.#permissionsOf(assignment), action),
    );
  }

  /** Throws 403 AuthorizationFailed. */
  demand(principalId: string, action: string, scope: string): void {
    if (this.allows(principalId, action, scope)) return;
    throw authorizationFailed(principalId, action, scope);
  }

  /** Throws 403 LinkedAuthorizationFailed when one of the linked actions is not given. */
  demandLinked(
    principalId: string,
    main: { action: string; scope: string },
    linked: readonly LinkedAccess[],
  ): void {
    const refused = linked.filter(({ action, id }) => !this.allows(principalId, action, id));
    if (refused.length === 0) return;
    const actions = refused.map(({ action }) => action).join("', '");
    const scopes = refused.map(({ id }) => id).join("', '");
    throw new ArmError(
      403,
      "LinkedAuthorizationFailed",
      `The client '${principalId}' with object id '${principalId}' has permission to perform action '${main.action}' on scope '${main.scope}'; however, it does not have permission to perform action(s) '${actions}' on the linked scope(s) '${scopes}' (respectively) or the linked scope(s) are invalid.`,
    );
  }

  #assignmentsOf(principalId: string): readonly Resource[] {
    const wanted = principalId.toLowerCase();
    return this.#resources
      .list(assignmentType)
      .filter(
        ({ body }) =>
          stringAt(objectAt(body, "properties"), "principalId")?.toLowerCase() === wanted,
      );
  }

  #permissionsOf(assignment: Resource): readonly Permission[] {
    const id = stringAt(objectAt(assignment.body, "properties"), "roleDefinitionId") ?? "";
    return findRole(this.#resources, id)?.permissions ?? [];
  }
}

export function authorizationFailed(principalId: string, action: string, scope: string): ArmError {
  return new ArmError(
    403,
    "AuthorizationFailed",
    `The client '${principalId}' with object id '${principalId}' does not have authorization to perform action '${action}' over scope '${scope}' or the scope is invalid. If access was recently granted, please refresh your credentials.`,
  );
}

/** The role of an id or of its bare GUID: built-in, or custom and stored. */
export function findRole(
  resources: ResourceStore,
  id: string,
): { readonly roleName: string; readonly permissions: readonly Permission[] } | undefined {
  const guid = id.slice(id.lastIndexOf("/") + 1).toLowerCase();
  const known = builtInRoles.find((role) => role.name === guid);
  if (known !== undefined) return known;
  const custom = resources.list(definitionType).find(({ name }) => name.toLowerCase() === guid);
  if (custom === undefined) return undefined;
  const properties = objectAt(custom.body, "properties");
  const stored = properties["permissions"];
  const permissions = Array.isArray(stored) ? stored.filter((item) => isJsonObject(item)) : [];
  return {
    roleName: stringAt(properties, "roleName") ?? "",
    permissions: permissions.map((permission) => permissionSchema.parse(permission)),
  };
}

function scopeOf(assignment: Resource): string {
  return stringAt(objectAt(assignment.body, "properties"), "scope") ?? "";
}

/** True when `scope` is `ancestor` or lies below it. */
function isWithin(scope: string, ancestor: string): boolean {
  const root = idKey(ancestor) === "/" ? "" : idKey(ancestor);
  return idKey(scope) === root || idKey(scope).startsWith(`${root}/`);
}
