/**
 * A *role definition* names actions with wildcards; a *role assignment* gives one to a principal at
 * a scope and below. https://learn.microsoft.com/azure/role-based-access-control/role-definitions
 */
import { z } from "zod";

export const permissionSchema = z.object({
  actions: z.array(z.string()).default([]),
  notActions: z.array(z.string()).default([]),
  dataActions: z.array(z.string()).default([]),
  notDataActions: z.array(z.string()).default([]),
});
export type Permission = z.infer<typeof permissionSchema>;

export interface RoleDefinition {
  /** A GUID. */
  readonly name: string;
  readonly roleName: string;
  readonly type: "BuiltInRole" | "CustomRole";
  readonly permissions: readonly Permission[];
  readonly assignableScopes: readonly string[];
}

function builtIn(name: string, roleName: string, permission: Partial<Permission>): RoleDefinition {
  return {
    name,
    roleName,
    type: "BuiltInRole",
    permissions: [permissionSchema.parse(permission)],
    assignableScopes: ["/"],
  };
}

const blobs = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const queues = "Microsoft.Storage/storageAccounts/queueServices/queues";
const tables = "Microsoft.Storage/storageAccounts/tableServices/tables";

/** GUIDs as in https://learn.microsoft.com/azure/role-based-access-control/built-in-roles */
export const builtInRoles: readonly RoleDefinition[] = [
  builtIn("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", { actions: ["*"] }),
  builtIn("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", {
    actions: ["*"],
    notActions: [
      "Microsoft.Authorization/*/Delete",
      "Microsoft.Authorization/*/Write",
      "Microsoft.Authorization/elevateAccess/Action",
    ],
  }),
  builtIn("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", { actions: ["*/read"] }),
  builtIn("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator", {
    actions: ["*/read", "Microsoft.Authorization/*"],
  }),
  builtIn("9980e02c-c2be-4d73-94e8-173b1dc7cf3c", "Virtual Machine Contributor", {
    actions: [
      "Microsoft.Authorization/*/read",
      "Microsoft.Compute/availabilitySets/*",
      "Microsoft.Compute/locations/*",
      "Microsoft.Compute/virtualMachines/*",
      "Microsoft.Compute/disks/write",
      "Microsoft.Compute/disks/read",
      "Microsoft.Compute/disks/delete",
      "Microsoft.Network/locations/*",
      "Microsoft.Network/networkInterfaces/*",
      "Microsoft.Network/networkSecurityGroups/join/action",
      "Microsoft.Network/networkSecurityGroups/read",
      "Microsoft.Network/publicIPAddresses/join/action",
      "Microsoft.Network/publicIPAddresses/read",
      "Microsoft.Network/virtualNetworks/read",
      "Microsoft.Network/virtualNetworks/subnets/join/action",
      "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Storage/storageAccounts/listKeys/action",
      "Microsoft.Storage/storageAccounts/read",
    ],
  }),
  builtIn("4d97b98b-1d4f-4787-a291-c67834d212e7", "Network Contributor", {
    actions: [
      "Microsoft.Authorization/*/read",
      "Microsoft.Network/*",
      "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
    ],
  }),
  builtIn("7efff54f-a5b4-42b5-a1c5-5411624893ce", "Disk Snapshot Contributor", {
    actions: [
      "Microsoft.Authorization/*/read",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Compute/snapshots/*",
      "Microsoft.Compute/disks/*",
    ],
  }),
  builtIn("959f8984-c045-4866-89c7-12bf9737be2e", "Data Operator for Managed Disks", {
    dataActions: [
      "Microsoft.Compute/disks/download/action",
      "Microsoft.Compute/disks/upload/action",
      "Microsoft.Compute/snapshots/download/action",
      "Microsoft.Compute/snapshots/upload/action",
    ],
  }),
  builtIn("f1a07417-d97a-45cb-824c-7a7467783830", "Managed Identity Operator", {
    actions: [
      "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
      "Microsoft.ManagedIdentity/userAssignedIdentities/read",
      "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
      "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
      "Microsoft.Authorization/*/read",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
    ],
  }),
  builtIn("17d1049b-9a84-46fb-8f53-869881c3d3ab", "Storage Account Contributor", {
    actions: [
      "Microsoft.Authorization/*/read",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Storage/storageAccounts/*",
    ],
  }),
  builtIn("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor", {
    actions: [
      "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
      "Microsoft.Storage/storageAccounts/blobServices/containers/read",
      "Microsoft.Storage/storageAccounts/blobServices/containers/write",
      "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
    ],
    dataActions: [`${blobs}/*`],
  }),
  builtIn("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Storage Blob Data Reader", {
    actions: [
      "Microsoft.Storage/storageAccounts/blobServices/containers/read",
      "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action",
    ],
    dataActions: [`${blobs}/read`],
  }),
  builtIn("974c5e8b-45b9-4653-ba55-5f855dd0fb88", "Storage Queue Data Contributor", {
    actions: [`${queues}/delete`, `${queues}/read`, `${queues}/write`],
    dataActions: [`${queues}/messages/*`],
  }),
  builtIn("8a0f0c08-91a1-4084-bc3d-661d67233fed", "Storage Queue Data Message Processor", {
    dataActions: [`${queues}/messages/read`, `${queues}/messages/process/action`],
  }),
  builtIn("0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3", "Storage Table Data Contributor", {
    actions: [`${tables}/read`, `${tables}/write`, `${tables}/delete`],
    dataActions: [`${tables}/entities/*`],
  }),
];

/** True when the permissions give `action`. Names compare without regard to case; `*` matches any text. */
export function grantsAction(permissions: readonly Permission[], action: string): boolean {
  return permissions.some(
    ({ actions, notActions }) =>
      actions.some((pattern) => matchesAction(pattern, action)) &&
      !notActions.some((pattern) => matchesAction(pattern, action)),
  );
}

/** The same of what touches data: who may do all with a resource may do nothing with what is in it. */
export function grantsDataAction(permissions: readonly Permission[], dataAction: string): boolean {
  return permissions.some(
    ({ dataActions, notDataActions }) =>
      dataActions.some((pattern) => matchesAction(pattern, dataAction)) &&
      !notDataActions.some((pattern) => matchesAction(pattern, dataAction)),
  );
}

/** `*` in a pattern stands for any text. */
export function matchesAction(pattern: string, action: string): boolean {
  let matcher = matchers.get(pattern);
  if (matcher === undefined) {
    const source = pattern
      .split("*")
      .map((part) => part.replaceAll(/[.\\+?^${}()|[\]]/g, String.raw`\$&`))
      .join(".*");
    matcher = new RegExp(`^${source}$`, "i");
    matchers.set(pattern, matcher);
  }
  return matcher.test(action);
}

/** By pattern: every request to Azure asks dozens of them, which come from a few roles. */
const matchers = new Map<string, RegExp>();
