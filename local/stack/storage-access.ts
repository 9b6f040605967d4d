/** What Resource Manager knows of role assignments, in the form in which the storage services ask for it. */
import { assignmentType, findRole } from "#local/resource-manager/authorization/access-check.ts";
import { objectAt, stringAt } from "#local/resource-manager/json.ts";
import type { ResourceStore } from "#local/resource-manager/provider.ts";
import { idKey } from "#local/resource-manager/resource-id.ts";
import type { AccessSettings } from "#local/storage/azurite-messages.ts";

export function storageAccessOf(resources: ResourceStore): AccessSettings {
  const accounts = resources
    .list("Microsoft.Storage/storageAccounts")
    .map(({ name, id }) => ({ name, id: idKey(id) }));
  const assignments = resources.list(assignmentType).map(({ body }) => {
    const properties = objectAt(body, "properties");
    const role = findRole(resources, stringAt(properties, "roleDefinitionId") ?? "");
    return {
      principalId: (stringAt(properties, "principalId") ?? "").toLowerCase(),
      scope: idKey(stringAt(properties, "scope") ?? ""),
      permissions: [...(role?.permissions ?? [])],
    };
  });
  return { accounts, assignments };
}
