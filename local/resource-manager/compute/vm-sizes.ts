import { ArmError, invalidParameter } from "../arm-error.ts";
import { objectAt, stringAt } from "../json.ts";
import type { RequestContext } from "../provider.ts";
import { sameId } from "../resource-id.ts";
import type { CoreQuota } from "./compute-services.ts";

/** https://learn.microsoft.com/azure/virtual-machines/sizes: the sizes that this cloud offers. */
export interface VmSize {
  readonly name: string;
  readonly coreCount: number;
  readonly memoryMiB: number;
  readonly maxDataDisks: number;
  readonly architecture: "x64" | "Arm64";
}

function size(
  name: string,
  [coreCount, memoryGiB, maxDataDisks]: readonly [number, number, number],
  architecture: "x64" | "Arm64" = "x64",
): VmSize {
  return { name, coreCount, memoryMiB: memoryGiB * 1024, maxDataDisks, architecture };
}

export const vmSizes: readonly VmSize[] = [
  size("Standard_B1s", [1, 1, 2]),
  size("Standard_B2s", [2, 4, 4]),
  size("Standard_B2ms", [2, 8, 4]),
  size("Standard_D2s_v3", [2, 8, 4]),
  size("Standard_D4s_v3", [4, 16, 8]),
  size("Standard_D8s_v3", [8, 32, 16]),
  size("Standard_D2s_v5", [2, 8, 4]),
  size("Standard_D4s_v5", [4, 16, 8]),
  size("Standard_D8s_v5", [8, 32, 16]),
  size("Standard_D2as_v5", [2, 8, 4]),
  size("Standard_D4as_v5", [4, 16, 8]),
  size("Standard_D8as_v5", [8, 32, 16]),
  size("Standard_D2s_v6", [2, 8, 8]),
  size("Standard_D4s_v6", [4, 16, 12]),
  size("Standard_E2s_v5", [2, 16, 4]),
  size("Standard_E4s_v5", [4, 32, 8]),
  size("Standard_F2s_v2", [2, 4, 4]),
  size("Standard_F4s_v2", [4, 8, 8]),
  size("Standard_F8s_v2", [8, 16, 16]),
  size("Standard_D2ps_v5", [2, 8, 4], "Arm64"),
  size("Standard_D4ps_v5", [4, 16, 8], "Arm64"),
];

export function findVmSize(name: string): VmSize {
  const found = vmSizes.find((known) => sameId(known.name, name));
  if (found !== undefined) return found;
  throw invalidParameter(
    "vmSize",
    `The value ${name} provided for the VM size is not valid. The valid sizes in the current region are: ${vmSizes.map((known) => known.name).join(",")}. Find out more on the valid VM sizes in each region at https://aka.ms/azure-regions.`,
  );
}

/** 409 when the size does not take as many data disks (hashicorp/terraform pull 7389 shows the text). */
export function checkDataDiskCount(vmSize: VmSize, count: number): void {
  if (count <= vmSize.maxDataDisks) return;
  throw new ArmError(
    409,
    "OperationNotAllowed",
    `The maximum number of data disks allowed to be attached to a VM of this size is ${vmSize.maxDataDisks}.`,
    { target: "dataDisks" },
  );
}

/**
 * 409 when the region's cores would exceed the quota. Deallocated VMs count too
 * (https://learn.microsoft.com/azure/virtual-machines/quotas); Spot VMs have a quota of their own.
 */
export function checkCoreQuota(
  request: RequestContext,
  vm: { readonly location: string; readonly isSpot: boolean; readonly size: VmSize },
  quota: CoreQuota,
): void {
  const prefix = `/subscriptions/${request.parsedId.subscriptionId}`;
  const usedCores = request.resources
    .list("Microsoft.Compute/virtualMachines", prefix)
    .filter(({ id, body }) => {
      const isSpot = stringAt(objectAt(body, "properties"), "priority") === "Spot";
      return (
        !sameId(id, request.id) &&
        stringAt(body, "location") === vm.location &&
        isSpot === vm.isSpot
      );
    })
    .map(({ body }) => objectAt(objectAt(body, "properties"), "hardwareProfile"))
    .map((profile) => findVmSize(stringAt(profile, "vmSize") ?? "").coreCount)
    .reduce((sum, cores) => sum + cores, 0);
  const limit = vm.isSpot ? quota.spot : quota.regular;
  const wanted = usedCores + vm.size.coreCount;
  if (wanted <= limit) return;
  const name = vm.isSpot ? "LowPriorityCores" : "Total Regional Cores";
  throw new ArmError(
    409,
    "OperationNotAllowed",
    `Operation could not be completed as it results in exceeding approved ${name} quota. Additional details - Deployment Model: Resource Manager, Location: ${vm.location}, Current Limit: ${limit}, Current Usage: ${usedCores}, Additional Required: ${vm.size.coreCount}, (Minimum) New Limit Required: ${wanted}.`,
  );
}
