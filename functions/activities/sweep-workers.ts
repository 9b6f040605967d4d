import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { messageOf } from "#core/lib/errors.ts";
import { RESOURCE_TYPES, resourceGroupOf } from "#core/model/resource-id.ts";
import type { OwnedResource } from "#core/ports/compute.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { isRunning } from "./running-session.ts";

/** What the sweep finds out about workers: which there are, who holds them, which nobody knows. */
export const listWorkers = defineActivity("list-workers", async (context) => {
  const byLocation = new Map<string, string[]>();
  for await (const { id } of context.records.regions.list()) byLocation.set(id, []);
  for await (const { value } of context.records.workers.list()) {
    const workerIds = byLocation.get(value.location) ?? [];
    byLocation.set(value.location, [...workerIds, value.workerId]);
  }
  return { regions: Array.from(byLocation, ([location, workerIds]) => ({ location, workerIds })) };
});

/**
 * A holder is `<job>#<dispatch>`; a job has its session's id, with `~<n>` when a session has several.
 * A session that is over stays so.
 */
export const findEndedHolders = defineActivity("find-ended-holders", async (context, input) => {
  const ended: string[] = [];
  for (const holder of input.holders) {
    const sessionId = holder.replace(/(~\d+)?#\d+$/, "");
    if (!(await isRunning(context, sessionId))) ended.push(holder);
  }
  return { ended };
});

/**
 * VMs and NICs in the workers' resource group that have no record: a request that was under way
 * while its worker was removed made them. The listing comes first, so that a worker whose record is
 * written meanwhile is no stray.
 */
export const sweepStrays = defineActivity("sweep-strays", async (context) => {
  const { compute, config, events, records } = context;
  const { subscriptionId } = resourceGroupOf(config.worker.resourceGroupId);
  const found: OwnedResource[] = [];
  const owned = compute.listOwned(subscriptionId, CONTROL_PLANE_TAG, config.controlPlaneId);
  for await (const resource of owned) found.push(resource);
  let deletedCount = 0;
  for (const { type, resourceId } of found) {
    const workerId = workerOf(context, type, resourceId);
    if (workerId === undefined || (await records.workers.read(workerId)) !== undefined) continue;
    try {
      if (isType(type, RESOURCE_TYPES.virtualMachine)) await compute.startDeleteVm(resourceId);
      else await compute.startDeleteNic(resourceId);
      events.straySwept({ resourceId });
      deletedCount++;
    } catch (error) {
      // A NIC goes with its VM, or after it.
      events.sweepFailed({ resourceId, message: messageOf(error) });
    }
  }
  return { deletedCount };
});

/** Id of the worker that a resource is of; `undefined` when it is of none. */
function workerOf(context: AppContext, type: string, resourceId: string): string | undefined {
  const group = `${context.config.worker.resourceGroupId.toLowerCase()}/`;
  if (!resourceId.toLowerCase().startsWith(group)) return undefined;
  const name = resourceId.slice(resourceId.lastIndexOf("/") + 1).toLowerCase();
  if (isType(type, RESOURCE_TYPES.virtualMachine)) return name;
  const isNic = isType(type, RESOURCE_TYPES.networkInterface) && name.endsWith("-nic");
  return isNic ? name.slice(0, -"-nic".length) : undefined;
}

function isType(type: string, wanted: string): boolean {
  return type.toLowerCase() === wanted.toLowerCase();
}
