import { z } from "zod";

/**
 * A protected VM's full configuration as captured with each restore point: enough to create the VM
 * again without asking the source (which may be gone). Shapes follow Resource Manager's GET answers,
 * reduced to what a restore sets or an operator wants to see. All ids are Resource Manager ids.
 */
const tags = z.record(z.string(), z.string());

/** Of the marketplace image that an OS disk was made from. */
const purchasePlanSchema = z.object({
  name: z.string(),
  publisher: z.string(),
  product: z.string(),
  promotionCode: z.string().optional(),
});

export const diskConfigurationSchema = z.object({
  /** `properties.uniqueId`: a disk made again under the same name has another one. */
  diskId: z.string().min(1),
  resourceId: z.string().min(1),
  name: z.string().min(1),
  /** `os` for the OS disk, else the LUN of a data disk. */
  slot: z.union([z.literal("os"), z.number().int().min(0).max(63)]),
  location: z.string(),
  zones: z.array(z.string()),
  sizeBytes: z.number().int().positive(),
  skuName: z.string(),
  caching: z.enum(["None", "ReadOnly", "ReadWrite"]),
  writeAcceleratorEnabled: z.boolean(),
  deleteOption: z.enum(["Delete", "Detach"]),
  osType: z.enum(["Linux", "Windows"]).optional(),
  hyperVGeneration: z.string().optional(),
  securityType: z.string().optional(),
  diskEncryptionSetId: z.string().optional(),
  /** Who may export the disk; points from before it was captured lack the three. */
  networkAccessPolicy: z.enum(["AllowAll", "AllowPrivate", "DenyAll"]).optional(),
  publicNetworkAccess: z.enum(["Enabled", "Disabled"]).optional(),
  diskAccessId: z.string().optional(),
  /** `AzureActiveDirectory`: a token is asked for beside the SAS. */
  dataAccessAuthMode: z.enum(["None", "AzureActiveDirectory"]).optional(),
  purchasePlan: purchasePlanSchema.optional(),
  supportedCapabilities: z
    .object({
      diskControllerTypes: z.string().optional(),
      acceleratedNetwork: z.boolean().optional(),
      architecture: z.string().optional(),
    })
    .optional(),
  tags,
});
export type DiskConfiguration = z.infer<typeof diskConfigurationSchema>;

export const nicConfigurationSchema = z.object({
  resourceId: z.string(),
  name: z.string(),
  primary: z.boolean(),
  deleteOption: z.enum(["Delete", "Detach"]),
  enableAcceleratedNetworking: z.boolean(),
  enableIPForwarding: z.boolean(),
  networkSecurityGroupId: z.string().optional(),
  ipConfigurations: z.array(
    z.object({
      name: z.string(),
      primary: z.boolean(),
      subnetId: z.string(),
      privateIPAddress: z.string().optional(),
      privateIPAllocationMethod: z.string().optional(),
      publicIPAddressId: z.string().optional(),
    }),
  ),
  tags,
});

export const vmConfigurationSchema = z.object({
  /** `properties.vmId`, a GUID: the protected VM's id everywhere in the product. */
  vmId: z.string().min(1),
  resourceId: z.string().min(1),
  name: z.string().min(1),
  location: z.string(),
  zones: z.array(z.string()),
  vmSize: z.string(),
  osDisk: diskConfigurationSchema,
  dataDisks: z.array(diskConfigurationSchema),
  nics: z.array(nicConfigurationSchema),
  tags,
  /** `identity` as Resource Manager returns it; a system-assigned principal is new after a restore. */
  identity: z.object({ type: z.string(), userAssignedIdentityIds: z.array(z.string()) }).optional(),
  plan: z
    .object({
      name: z.string().optional(),
      product: z.string().optional(),
      publisher: z.string().optional(),
      promotionCode: z.string().optional(),
    })
    .optional(),
  securityProfile: z
    .object({
      securityType: z.string().optional(),
      encryptionAtHost: z.boolean().optional(),
      secureBootEnabled: z.boolean().optional(),
      vTpmEnabled: z.boolean().optional(),
    })
    .optional(),
  licenseType: z.string().optional(),
  availabilitySetId: z.string().optional(),
  proximityPlacementGroupId: z.string().optional(),
  diskControllerType: z.string().optional(),
  bootDiagnosticsEnabled: z.boolean(),
  priority: z.string().optional(),
  evictionPolicy: z.string().optional(),
  extensionNames: z.array(z.string()),
});
export type VmConfiguration = z.infer<typeof vmConfigurationSchema>;

/** What a list shows of a VM. */
export interface VmSummary {
  readonly vmId: string;
  readonly resourceId: string;
  readonly name: string;
  readonly location: string;
  readonly vmSize: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly diskCount: number;
}

/** OS disk first, then data disks by LUN. */
export function disksOf(vm: VmConfiguration): readonly DiskConfiguration[] {
  return [vm.osDisk, ...vm.dataDisks];
}
