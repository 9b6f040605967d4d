import {
  diskAccessesFor,
  SLOTS_PER_BACKED_UP_DISK,
  type DiskAccessActionKind,
} from "#core/network/plan-disk-accesses.ts";
import type { AppContext } from "../app-context.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import { poolNamesOf, readDiskAccessPlan } from "./disk-accesses.ts";
import { isWorker } from "./policies.ts";

interface ExpectedAction {
  readonly kind: DiskAccessActionKind;
  readonly resourceId: string;
  readonly reason: string;
}

/** What a run of all VMs of a region would make of disk accesses in one subscription. */
export interface ExpectedDiskAccesses {
  readonly subscriptionId: string;
  /** Exports at the same time: of the largest VMs, one for each worker. */
  readonly slots: number;
  readonly neededCount: number;
  /** Each disk access that is to be made comes with its endpoint and its names. */
  readonly actions: readonly ExpectedAction[];
  readonly waitingFor: readonly string[];
  readonly findings: readonly string[];
  readonly notes: readonly string[];
}

/** Makes nothing. A subscription without VMs in the region needs no disk access there. */
export async function readExpectedDiskAccesses(
  context: AppContext,
  location: string,
): Promise<readonly ExpectedDiskAccesses[]> {
  const expected: ExpectedDiskAccesses[] = [];
  for (const { subscriptionId, slots } of await readExpectedSlots(context, location))
    expected.push(await expectedIn(context, { location, subscriptionId }, slots));
  return expected;
}

/** Disk accesses of all subscriptions that have their endpoint in the region, once all VMs ran. */
export async function countExpectedDiskAccesses(
  context: AppContext,
  location: string,
): Promise<number> {
  const { accessesMax } = context.config.diskAccess;
  const pools = await readExpectedSlots(context, location);
  return pools.reduce((sum, { slots }) => sum + Math.min(diskAccessesFor(slots), accessesMax), 0);
}

interface ExpectedSlots {
  readonly subscriptionId: string;
  /** Above 0. */
  readonly slots: number;
}

async function readExpectedSlots(
  context: AppContext,
  location: string,
): Promise<readonly ExpectedSlots[]> {
  const { config, compute } = context;
  const { maximum } = await readWorkerConfiguration(context, location);
  const expected: ExpectedSlots[] = [];
  for (const subscriptionId of config.subscriptionIds) {
    const diskCounts: number[] = [];
    for await (const vm of compute.listVms(subscriptionId))
      if (vm.location === location && !isWorker(context, vm)) diskCounts.push(vm.diskCount);
    const largest = diskCounts.sort((one, other) => other - one).slice(0, maximum);
    const slots = largest.reduce((sum, count) => sum + count * SLOTS_PER_BACKED_UP_DISK, 0);
    if (slots > 0) expected.push({ subscriptionId, slots });
  }
  return expected;
}

async function expectedIn(
  context: AppContext,
  pool: { readonly location: string; readonly subscriptionId: string },
  slots: number,
): Promise<ExpectedDiskAccesses> {
  const plan = await readDiskAccessPlan(context, pool, { slots, retiring: [] });
  const names = poolNamesOf(context, pool);
  const actions = plan.actions.flatMap(({ kind, name, reason }): ExpectedAction[] => {
    const endpointId = names.endpointIdOf(name);
    const zoneGroup = {
      kind: "create-disk-zone-group" as const,
      resourceId: `${endpointId}/privateDnsZoneGroups/default`,
      reason: `no DNS zone group keeps the names of disk access ${name}`,
    };
    const endpoint = {
      kind: "create-disk-endpoint" as const,
      resourceId: endpointId,
      reason: `disk access ${name} has no private endpoint`,
    };
    const zoneGroups = context.config.network.privateDns === "manage" ? [zoneGroup] : [];
    switch (kind) {
      case "create-disk-access":
        return [{ kind, resourceId: names.diskAccessIdOf(name), reason }, endpoint, ...zoneGroups];
      case "delete-disk-endpoint":
        return [{ kind, resourceId: endpointId, reason }, endpoint, ...zoneGroups];
      case "create-disk-endpoint":
        return [{ ...endpoint, reason }, ...zoneGroups];
      case "create-disk-zone-group":
        return [{ ...zoneGroup, reason }];
    }
  });
  return {
    subscriptionId: pool.subscriptionId,
    slots,
    neededCount: plan.neededCount,
    actions,
    waitingFor: plan.waitingFor,
    findings: plan.refusals,
    notes: plan.bounded === undefined ? [] : [plan.bounded],
  };
}
