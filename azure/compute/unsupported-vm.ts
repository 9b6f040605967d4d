/** What of a VM this product cannot back up or bring back, said before anything is made. */
import type { Disk, OSDisk, VirtualMachine } from "@azure/arm-compute";

/** Direct upload, which restores use, is offered for Standard and Premium SSD disks only. */
const SKUS_WITHOUT_UPLOAD = /^(PremiumV2|UltraSSD)_/i;

/** Why the VM cannot be protected; `undefined` when it can. */
export function whyVmUnsupported(vm: VirtualMachine): string | undefined {
  if (isEphemeral(vm.storageProfile?.osDisk))
    return "its OS disk is ephemeral: it lies on the host, and Azure takes no snapshots of it";
  if (vm.securityProfile?.securityType === "ConfidentialVM")
    return "it is a confidential VM: its guest state cannot be read, so it could not be started again";
  return undefined;
}

/** Why a disk cannot be protected; `undefined` when it can. */
export function whyDiskUnsupported(disk: Disk): string | undefined {
  const skuName = disk.sku?.name ?? "";
  if (SKUS_WITHOUT_UPLOAD.test(skuName))
    return `it is of type ${skuName}, which takes no upload, so it could not be restored`;
  if (disk.encryptionSettingsCollection?.enabled === true)
    return "it is encrypted inside the guest (Azure Disk Encryption): use encryption at host or a disk encryption set";
  if ((disk.maxShares ?? 1) > 1)
    return "it is shared between VMs: snapshots of it are not consistent with what the others write";
  if (disk.securityProfile?.securityType?.startsWith("ConfidentialVM") === true)
    return "it belongs to a confidential VM";
  return undefined;
}

function isEphemeral(osDisk: OSDisk | undefined): boolean {
  return osDisk?.diffDiskSettings?.option === "Local";
}
