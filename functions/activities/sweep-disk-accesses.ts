import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { messageOf } from "#core/lib/errors.ts";
import { resourceGroupOf, sameId } from "#core/model/resource-id.ts";
import { diskPoolKeyOf, type DiskPool } from "#core/network/plan-disk-accesses.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { poolNamesOf } from "./disk-accesses.ts";
import { isRunning } from "./running-session.ts";

/** What the sweep finds out about disk accesses, and how unused ones go with their endpoints. */
export const listDiskPools = defineActivity("list-disk-pools", async ({ records }) => {
  const pools: { location: string; subscriptionId: string }[] = [];
  for await (const { value } of records.diskPools.list()) {
    const { location, subscriptionId } = value;
    pools.push({ location, subscriptionId });
  }
  return { pools };
});

/**
 * Jobs whose session is over and whose access is revoked: nobody else gives their slots back. A job of
 * disks has its session's id; `~parts` behind it stands for the parts of its shared disks.
 */
export const findEndedSlotHolders = defineActivity(
  "find-ended-slot-holders",
  async (context, { holders }) => {
    const ended: string[] = [];
    for (const holder of holders) {
      const jobId = holder.replace(/~parts$/, "");
      if (await isRunning(context, jobId)) continue;
      if (!(await hasGrants(context, jobId))) ended.push(holder);
    }
    return { ended };
  },
);

async function hasGrants({ records }: AppContext, jobId: string): Promise<boolean> {
  for await (const _grant of records.grants.list({ prefix: `${jobId}~` })) return true;
  return false;
}

/** Disk accesses of the pool that no plan needed for the grace time and nothing is exported through. */
export const findUnusedDiskAccesses = defineActivity(
  "find-unused-disk-accesses",
  async (context, pool) => {
    const { compute, config, records, clock } = context;
    const names = poolNamesOf(context, pool);
    const row = await records.diskPools.read(diskPoolKeyOf(pool));
    const before = clock().getTime() - config.diskAccess.graceSeconds * 1000;
    const idle: { name: string; diskAccessId: string }[] = [];
    for await (const { name, diskAccessId } of compute.listDiskAccesses(
      names.resourceGroupId,
      CONTROL_PLANE_TAG,
      config.controlPlaneId,
    )) {
      if (!name.startsWith(`${names.poolName}-`)) continue;
      const neededAt = row?.value.neededAt[name];
      if (neededAt === undefined || Date.parse(neededAt) <= before)
        idle.push({ name, diskAccessId });
    }
    if (idle.length === 0) return { names: [] };
    const used = await compute.listUsedDiskAccesses(pool.subscriptionId);
    const unused = idle.filter(({ diskAccessId }) => !used.has(diskAccessId.toLowerCase()));
    return { names: unused.map(({ name }) => name) };
  },
);

/**
 * One step towards the end of each: the disk access first, because Azure refuses to delete one that a
 * snapshot still names, then its endpoint. Answers those that are done with, gone or refused.
 */
export const removeDiskAccesses = defineActivity("remove-disk-accesses", async (context, input) => {
  const { location, subscriptionId, names } = input;
  const pool = { location, subscriptionId };
  const done: string[] = [];
  for (const name of names) {
    const resourceId = poolNamesOf(context, pool).diskAccessIdOf(name);
    try {
      if (await removeStep(context, pool, name)) done.push(name);
    } catch (error) {
      context.events.sweepFailed({ resourceId, message: messageOf(error) });
      done.push(name);
    }
  }
  if (done.length > 0)
    await context.records.diskPools.update(diskPoolKeyOf(pool), (row) => ({
      ...row,
      neededAt: Object.fromEntries(
        Object.entries(row.neededAt).filter(([name]) => !done.includes(name)),
      ),
    }));
  return { done };
});

/** Whether disk access and endpoint are gone. */
async function removeStep(context: AppContext, pool: DiskPool, name: string): Promise<boolean> {
  const { compute, region, config, events } = context;
  const names = poolNamesOf(context, pool);
  const diskAccessId = names.diskAccessIdOf(name);
  if ((await compute.readDiskAccess(diskAccessId)) !== undefined) {
    await compute.startDeleteDiskAccess(diskAccessId);
    events.straySwept({ resourceId: diskAccessId });
    return false;
  }
  const endpointId = names.endpointIdOf(name);
  const { subscriptionId } = resourceGroupOf(config.worker.resourceGroupId);
  for await (const endpoint of region.listPrivateEndpoints(subscriptionId)) {
    if (!sameId(endpoint.endpointId, endpointId)) continue;
    await region.startDeletePrivateEndpoint(endpointId);
    events.straySwept({ resourceId: endpointId });
    return false;
  }
  return true;
}
