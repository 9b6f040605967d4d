import { z } from "zod";
import { ArmError, invalidParameter } from "../arm-error.ts";
import { objectAt, stringAt } from "../json.ts";
import type { Resource } from "../provider.ts";
import { bytesPerGiB } from "./disk-body.ts";

/**
 * OS disks on the machine that a VM runs on
 * (https://learn.microsoft.com/azure/virtual-machines/ephemeral-os-disks): they fit into the cache of
 * the size, or do not exist. GiB of cache of the sizes that this cloud offers; others have none.
 */
const cacheGib: ReadonlyMap<string, number> = new Map([
  ["Standard_D2s_v3", 50],
  ["Standard_D4s_v3", 100],
  ["Standard_D8s_v3", 200],
  ["Standard_F2s_v2", 32],
  ["Standard_F4s_v2", 64],
  ["Standard_F8s_v2", 128],
]);

const settingsSchema = z.strictObject({
  option: z.literal("Local"),
  placement: z.enum(["CacheDisk", "ResourceDisk", "NvmeDisk"]).default("CacheDisk"),
});

export function checkEphemeralOsDisk(
  osDisk: {
    readonly diffDiskSettings?: unknown;
    readonly caching?: string | undefined;
    readonly diskSizeGB?: number | undefined;
  },
  vmSize: string,
  imageSizeBytes: number,
): void {
  if (osDisk.diffDiskSettings === undefined) return;
  const settings = settingsSchema.safeParse(osDisk.diffDiskSettings);
  if (!settings.success)
    throw invalidParameter("osDisk.diffDiskSettings", "The diffDiskSettings are not valid.");
  if (osDisk.caching !== "ReadOnly")
    throw invalidParameter(
      "osDisk.caching",
      "Only 'ReadOnly' caching is allowed for an OS disk with diffDiskSettings.",
    );
  const { placement } = settings.data;
  const room = placement === "CacheDisk" ? (cacheGib.get(vmSize) ?? 0) : 0;
  const wanted = osDisk.diskSizeGB ?? imageSizeBytes / bytesPerGiB;
  if (wanted <= room) return;
  throw invalidParameter(
    "osDisk.diskSizeGB",
    `OS disk of Ephemeral VM with size greater than ${room} GB is not allowed for VM size ${vmSize} when the DiffDiskPlacement is ${placement}.`,
  );
}

/** 409 for what would lose the disk: a VM with an ephemeral OS disk runs or is deleted. */
export function refuseToDeallocate(vm: Resource): void {
  const storage = objectAt(objectAt(vm.body, "properties"), "storageProfile");
  const settings = objectAt(objectAt(storage, "osDisk"), "diffDiskSettings");
  if (stringAt(settings, "option") === undefined) return;
  throw new ArmError(
    409,
    "OperationNotAllowed",
    "This operation is not supported for VMs with an ephemeral OS disk.",
  );
}
