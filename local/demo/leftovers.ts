import type { Stack } from "#local/stack.ts";
import { listResources } from "#local/stack/resource-list.ts";

export interface ExpectedEstate {
  readonly vmNames: readonly string[];
  readonly diskNames: readonly string[];
  /** Snapshots that are the base of a disk's next incremental. */
  readonly baseSnapshotIds: readonly string[];
}

const pollMs = 500;
const computeTypes = [
  "microsoft.compute/virtualmachines",
  "microsoft.compute/disks",
  "microsoft.compute/snapshots",
];

/**
 * What exists and should not, as Resource Manager and the disk service know it: workers, their NICs
 * and disks, snapshots that are no base, live SAS.
 */
export function findLeftovers(stack: Stack, expected: ExpectedEstate): string[] {
  const { resourceManager, disks } = stack.cloud;
  const wanted = new Set(
    [...expected.vmNames, ...expected.diskNames, ...expected.baseSnapshotIds.map(nameOf)].map(
      (name) => name.toLowerCase(),
    ),
  );
  const found: string[] = [];
  for (const { type, name, resourceId } of listResources(resourceManager, disks)) {
    const kind = type.toLowerCase();
    if (computeTypes.includes(kind) && !wanted.has(name.toLowerCase())) found.push(resourceId);
    if (kind === "microsoft.network/networkinterfaces" && !isOfEndpoint(stack, resourceId)) {
      const isOfVm = expected.vmNames.some((vm) => name.toLowerCase().startsWith(`${vm}-nic`));
      if (!isOfVm) found.push(resourceId);
    }
  }
  for (const { kind, id } of disks.listGrants()) found.push(`live SAS on ${kind} ${id}`);
  return found;
}

/** An endpoint's interface lives and dies with it: Azure lets nobody delete it. */
function isOfEndpoint(stack: Stack, nicId: string): boolean {
  const nic = stack.cloud.resourceManager.resources.get(nicId);
  return nic?.internal["privateEndpointId"] !== undefined;
}

/** Waits until nothing is left: workers go after they were idle for a while. */
export async function waitForCleanEstate(
  stack: Stack,
  expected: ExpectedEstate,
  options: { readonly timeoutMs: number; readonly onWaiting?: (line: string) => void },
): Promise<void> {
  const deadlineMs = performance.now() + options.timeoutMs;
  for (;;) {
    const left = findLeftovers(stack, expected);
    if (left.length === 0) return;
    if (performance.now() > deadlineMs) throw new Error(`Left behind:\n  ${left.join("\n  ")}`);
    options.onWaiting?.(`  still there: ${left.map(nameOf).join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function nameOf(resourceId: string): string {
  return resourceId.slice(resourceId.lastIndexOf("/") + 1);
}
