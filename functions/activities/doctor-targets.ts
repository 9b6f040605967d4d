import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import type { DoctorSpec, JobRecord, JobSpec } from "#core/model/job-record.ts";
import { resourceGroupOf } from "#core/model/resource-id.ts";
import { diskPoolKeyOf, type DiskPool } from "#core/network/plan-disk-accesses.ts";
import type { AppContext } from "../app-context.ts";
import { poolNamesOf } from "./disk-accesses.ts";

/**
 * Which disk accesses the doctor looks at, and what it asks for through them: a snapshot that is
 * exported for a moment. Only a backup's own snapshots, and bases that nobody reads now: a grant on
 * a snapshot is one and the same for all who ask, and ends for all of them.
 */
const READS_AT_ONCE = 5;

export type DiskTarget = DoctorSpec["diskTargets"][number];

/** Those that the job reads or writes through. */
export async function diskTargetsOf(
  context: AppContext,
  { spec, location }: Pick<JobRecord, "spec" | "location">,
): Promise<DiskTarget[]> {
  if (spec.kind === "doctor") return spec.diskTargets;
  if (spec.kind === "restore") return targetsOfDisks(context, spec);
  if (spec.kind !== "backup") return [];
  const found = await mapBounded(spec.disks, READS_AT_ONCE, async ({ snapshotId }) => {
    const snapshot = await context.compute.readSnapshot(snapshotId);
    return { snapshotId, diskAccessId: snapshot?.networkAccess.diskAccessId };
  });
  const named = found.flatMap(({ snapshotId, diskAccessId }) =>
    diskAccessId === undefined ? [] : [{ snapshotId, diskAccessId }],
  );
  // Snapshots were led away from a disk access so that it could be deleted.
  const { subscriptionId } = resourceGroupOf(spec.vm.resourceId);
  const lost =
    named.length === found.length
      ? []
      : await listLostAccesses(context, { location, subscriptionId });
  return eachOnce([...named, ...lost.map((diskAccessId) => ({ diskAccessId }))]);
}

/** What waits for its upload is not written before the job itself: a revoked upload is over. */
async function targetsOfDisks(
  { compute }: AppContext,
  { disks }: Extract<JobSpec, { kind: "restore" }>,
): Promise<DiskTarget[]> {
  const found = await mapBounded(disks, READS_AT_ONCE, async ({ targetDiskId }) => {
    const disk = await compute.readDisk(targetDiskId);
    const diskAccessId = disk?.settings.networkAccess.diskAccessId;
    return diskAccessId === undefined ? [] : [{ diskAccessId }];
  });
  return eachOnce(found.flat());
}

/**
 * All disk accesses of the region, for a look on demand: those of its pools, and those that its pools
 * had and nobody but the sweep may remove. One through which something is exported now is not asked.
 */
export async function diskTargetsOfRegion(
  context: AppContext,
  location: string,
): Promise<DiskTarget[]> {
  const targets: DiskTarget[] = [];
  const busy = await listBusySnapshots(context);
  for await (const { value: pool } of context.records.diskPools.list()) {
    if (pool.location !== location) continue;
    const used = await context.compute.listUsedDiskAccesses(pool.subscriptionId);
    for (const diskAccessId of await listAccesses(context, pool)) {
      const users = used.get(diskAccessId.toLowerCase()) ?? [];
      const isBusy = users.some((id) => busy.has(id.toLowerCase()));
      const snapshotId = isBusy ? undefined : await findOwnSnapshot(context, users);
      targets.push({ diskAccessId, ...(snapshotId === undefined ? {} : { snapshotId }) });
    }
    for (const diskAccessId of await listLostAccesses(context, pool))
      targets.push({ diskAccessId });
  }
  return eachOnce(targets);
}

/** Resources with a live grant of any job. */
async function listBusySnapshots({ records }: AppContext): Promise<ReadonlySet<string>> {
  const busy = new Set<string>();
  for await (const { value } of records.grants.list()) busy.add(value.resourceId.toLowerCase());
  return busy;
}

async function findOwnSnapshot(
  { compute, config }: AppContext,
  ids: readonly string[],
): Promise<string | undefined> {
  for (const id of ids) {
    if (!/\/snapshots\/[^/]+$/i.test(id)) continue;
    const found = await compute.readSnapshot(id);
    const isOwn = found?.tags[CONTROL_PLANE_TAG] === config.controlPlaneId;
    if (isOwn && found?.provisioning === "succeeded") return id;
  }
  return undefined;
}

async function listAccesses(context: AppContext, pool: DiskPool): Promise<string[]> {
  const { compute, config } = context;
  const names = poolNamesOf(context, pool);
  const found: string[] = [];
  for await (const { name, diskAccessId } of compute.listDiskAccesses(
    names.resourceGroupId,
    CONTROL_PLANE_TAG,
    config.controlPlaneId,
  ))
    if (name.startsWith(`${names.poolName}-`)) found.push(diskAccessId);
  return found;
}

/** Ids of disk accesses that the pool was planned to have, that no sweep removed, and that are gone. */
async function listLostAccesses(context: AppContext, pool: DiskPool): Promise<string[]> {
  const names = poolNamesOf(context, pool);
  const row = await context.records.diskPools.read(diskPoolKeyOf(pool));
  const ids = Object.keys(row?.value.neededAt ?? {}).map((name) => names.diskAccessIdOf(name));
  const states = await mapBounded(ids, READS_AT_ONCE, async (id) =>
    (await context.compute.readDiskAccess(id)) === undefined ? [id] : [],
  );
  return states.flat();
}

function eachOnce(targets: readonly DiskTarget[]): DiskTarget[] {
  const first = new Map<string, DiskTarget>();
  for (const target of targets) {
    const key = target.diskAccessId.toLowerCase();
    if (!first.has(key)) first.set(key, target);
  }
  return [...first.values()];
}
