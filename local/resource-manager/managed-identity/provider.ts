/**
 * Microsoft.ManagedIdentity: user-assigned identities. Each is a principal as long as it exists.
 * https://learn.microsoft.com/rest/api/managedidentity/user-assigned-identities
 */
import type { ResourceProvider } from "../provider.ts";

const apiVersions = ["2018-11-30", "2023-01-31", "2024-11-30"];

export const managedIdentityProvider: ResourceProvider = {
  namespace: "Microsoft.ManagedIdentity",
  types: [
    {
      type: "userAssignedIdentities",
      apiVersions,
      tracked: true,
      hasProvisioningState: false,
      namePattern: /^[A-Za-z0-9][\w-]{2,127}$/,
      put: ({ id, parsedId, body, existing, principals, tenantId }) => {
        const principal =
          (existing === undefined ? undefined : principals.byResourceId(id)) ??
          principals.create({
            kind: "UserAssigned",
            displayName: parsedId.names[0] ?? "",
            resourceId: id,
          });
        const properties = {
          tenantId,
          principalId: principal.objectId,
          clientId: principal.clientId,
        };
        return { kind: "stored", content: { body: { ...body, properties } } };
      },
      // The principal goes with the resource: the core removes it.
      remove: () => ({ kind: "deleted" }),
    },
  ],
};
