import type { Disk, Snapshot } from "@azure/arm-compute";
import type { NetworkAccess } from "#core/ports/compute.ts";

/**
 * Who may reach the bytes of a disk or snapshot
 * (learn.microsoft.com/azure/virtual-machines/disks-restrict-import-export-overview).
 */
type AccessFields = Pick<Disk, "networkAccessPolicy" | "publicNetworkAccess" | "diskAccessId">;

/** Only through the private endpoint of this disk access. */
export function privateThrough(diskAccessId: string): AccessFields {
  return accessFields({ policy: "AllowPrivate", publicAccess: false, diskAccessId });
}

export function accessFields({ policy, publicAccess, diskAccessId }: NetworkAccess): AccessFields {
  return {
    networkAccessPolicy: policy,
    publicNetworkAccess: publicAccess ? "Enabled" : "Disabled",
    ...(policy === "AllowPrivate" && diskAccessId !== undefined && { diskAccessId }),
  };
}

/** Azure's defaults stand for what an answer leaves out. */
export function networkAccessOf(resource: Disk | Snapshot): NetworkAccess {
  return {
    policy: policyOf(resource.networkAccessPolicy),
    publicAccess: resource.publicNetworkAccess !== "Disabled",
    diskAccessId: resource.diskAccessId,
  };
}

function policyOf(policy: string | undefined): NetworkAccess["policy"] {
  return policy === "AllowPrivate" || policy === "DenyAll" ? policy : "AllowAll";
}
