import { createHash } from "node:crypto";
import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { messageOf } from "#core/lib/errors.ts";
import { RESOURCE_TYPES, resourceGroupOf } from "#core/model/resource-id.ts";
import type { WorkerRecord } from "#core/model/worker-record.ts";
import type { OwnedResource } from "#core/ports/compute.ts";
import type { AppContext } from "../app-context.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import type { RegionWorkers } from "./activity-contract.ts";
import { defineActivity } from "./define-activity.ts";
import { isRunning } from "./running-session.ts";
import { findStrayEndpoints, type Stray } from "./sweep-endpoints.ts";

/** What the sweep finds out about workers: which there are, which are lost, which nobody knows. */
export const listWorkers = defineActivity("list-workers", async (context) => {
  const byLocation = new Map<string, WorkerRecord[]>();
  for await (const { id } of context.records.regions.list()) byLocation.set(id, []);
  for await (const { value } of context.records.workers.list()) {
    byLocation.set(value.location, [...(byLocation.get(value.location) ?? []), value]);
  }
  const regions: RegionWorkers[] = [];
  for (const [location, workers] of byLocation) {
    const { minimum, idle } = await readWorkerConfiguration(context, location);
    const lost: string[] = [];
    for (const worker of workers) if (await isLost(context, worker)) lost.push(worker.workerId);
    regions.push({
      location,
      workerIds: workers.map(({ workerId }) => workerId),
      lost,
      minimum,
      idleSeconds: idle.afterSeconds,
      idleAction: idle.action,
    });
  }
  return { regions };
});

/** An idle worker that is silent, or a deallocated one whose VM was deleted, e.g. by an eviction. */
async function isLost(context: AppContext, worker: WorkerRecord): Promise<boolean> {
  if (worker.state === "deallocated")
    return (await context.compute.readWorkerVm(worker.vmResourceId)) === undefined;
  if (worker.state !== "idle") return false;
  const lastSign = Date.parse(worker.lastSeenAt ?? worker.stateAt);
  const silentMs = context.clock().getTime() - lastSign;
  return silentMs > context.config.run.workerLostSeconds * 1000;
}

/**
 * A holder is `<job>#<dispatch>`; a job has its session's id, with `~<n>` or `~part-<disk>-<n>` when a
 * session has several.
 * A session that is over stays so.
 */
export const findEndedHolders = defineActivity("find-ended-holders", async (context, input) => {
  const ended: string[] = [];
  for (const holder of input.holders) {
    const sessionId = holder.replace(/(~\d+|~part-\d+-\d+)?#\d+$/, "");
    if (!(await isRunning(context, sessionId))) ended.push(holder);
  }
  return { ended };
});

/**
 * VMs, NICs and OS disks in the workers' resource groups that have no record: a request that was under
 * way while its worker was removed made them. The listing comes first, so that a worker whose record
 * is written meanwhile is no stray; and what is found is left for a while, because a worker that is
 * launched in another size has no record for a moment. And private endpoints that lead nowhere.
 */
export const sweepStrays = defineActivity("sweep-strays", async (context) => {
  const groups = await findGroups(context);
  const graceSeconds = context.config.run.workerLostSeconds;
  const ofWorkers = await findStrays(context, groups);
  const found = [
    ...ofWorkers.map((resource) => ({ resource, graceSeconds })),
    ...(await findStrayEndpoints(context)),
  ];
  let deletedCount = 0;
  for (const { type, resourceId } of await onlyOld(context, found)) {
    try {
      await startDelete(context, type, resourceId);
      context.events.straySwept({ resourceId });
      deletedCount++;
    } catch (error) {
      // A NIC and a disk go with their VM, or after it.
      context.events.sweepFailed({ resourceId, message: messageOf(error) });
    }
  }
  return { deletedCount };
});

/** Resource groups that workers are or may be in, in lower case. */
async function findGroups({ config, records }: AppContext): Promise<ReadonlySet<string>> {
  const groups = new Set([config.worker.resourceGroupId.toLowerCase()]);
  for await (const { value } of records.workerConfigurations.list())
    groups.add(value.resourceGroupId.toLowerCase());
  return groups;
}

async function findStrays(
  { compute, config, records }: AppContext,
  groups: ReadonlySet<string>,
): Promise<readonly OwnedResource[]> {
  const subscriptionIds = new Set([...groups].map((id) => resourceGroupOf(id).subscriptionId));
  const strays: OwnedResource[] = [];
  for (const subscriptionId of subscriptionIds) {
    const found: OwnedResource[] = [];
    const owned = compute.listOwned(subscriptionId, CONTROL_PLANE_TAG, config.controlPlaneId);
    for await (const resource of owned) found.push(resource);
    for (const resource of found) {
      const workerId = workerOf(groups, resource);
      if (workerId === undefined) continue;
      if ((await records.workers.read(workerId)) === undefined) strays.push(resource);
    }
  }
  return strays;
}

/** Those that were found before, long enough ago; notes the others, and forgets what is gone. */
async function onlyOld(
  { records, clock }: AppContext,
  found: readonly Stray[],
): Promise<readonly OwnedResource[]> {
  const now = clock();
  const ids = new Map(found.map((each) => [digestOf(each.resource.resourceId), each]));
  const old: OwnedResource[] = [];
  for await (const { id, value } of records.strays.list()) {
    const stray = ids.get(id);
    ids.delete(id);
    const ageMs = now.getTime() - Date.parse(value.firstSeenAt);
    if (stray === undefined) await records.strays.delete(id);
    else if (ageMs >= stray.graceSeconds * 1000) old.push(stray.resource);
  }
  const firstSeenAt = now.toISOString();
  for (const [id, { resource }] of ids)
    await records.strays.insert(id, { resourceId: resource.resourceId, firstSeenAt });
  return old;
}

function digestOf(resourceId: string): string {
  return createHash("sha256").update(resourceId.toLowerCase()).digest("hex");
}

async function startDelete(
  { compute, region }: AppContext,
  type: string,
  resourceId: string,
): Promise<void> {
  if (isType(type, RESOURCE_TYPES.virtualMachine)) await compute.startDeleteVm(resourceId);
  else if (isType(type, RESOURCE_TYPES.disk)) await compute.startDeleteDisk(resourceId);
  else if (isType(type, RESOURCE_TYPES.privateEndpoint))
    await region.startDeletePrivateEndpoint(resourceId);
  else await compute.startDeleteNic(resourceId);
}

/** Id of the worker that a resource is of; `undefined` when it is of none. */
function workerOf(
  groups: ReadonlySet<string>,
  { type, resourceId }: OwnedResource,
): string | undefined {
  const [group = ""] = resourceId.toLowerCase().split("/providers/");
  if (!groups.has(group)) return undefined;
  const name = resourceId.slice(resourceId.lastIndexOf("/") + 1).toLowerCase();
  if (isType(type, RESOURCE_TYPES.virtualMachine)) return name;
  if (isType(type, RESOURCE_TYPES.networkInterface)) return withoutSuffix(name, "-nic");
  return isType(type, RESOURCE_TYPES.disk) ? withoutSuffix(name, "-os") : undefined;
}

function withoutSuffix(name: string, suffix: string): string | undefined {
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : undefined;
}

function isType(type: string, wanted: string): boolean {
  return type.toLowerCase() === wanted.toLowerCase();
}
