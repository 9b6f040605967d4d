import {
  CONTROL_PLANE_TAG,
  decodeSnapshotTag,
  SNAPSHOT_SET_TAG,
} from "#core/backup/snapshot-tags.ts";
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import type { GrantRecord } from "#core/model/job-record.ts";
import { RESOURCE_TYPES } from "#core/model/resource-id.ts";
import type { OwnedResource } from "#core/ports/compute.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { isRunning } from "./running-session.ts";
import { listPointsOfVm } from "./snapshots.ts";

/**
 * Sweeps: what a crash left behind. Safe against everything that runs: a session's row is there
 * before anything of it is made, only what belongs to a session that is over is touched, and an
 * object that cannot be removed now does not hold up the others.
 */
export const sweepGrants = defineActivity("sweep-grants", async (context, _input, signal) => {
  const { records, compute, events } = context;
  const ended: { id: string; grant: GrantRecord }[] = [];
  const inUse = new Set<string>();
  for await (const { id, value: grant } of records.grants.list()) {
    if (await isRunning(context, grant.sessionId)) inUse.add(grant.resourceId.toLowerCase());
    else ended.push({ id, grant });
  }
  let revokedCount = 0;
  for (const { id, grant } of ended) {
    const { jobId, resourceId } = grant;
    try {
      // Azure revokes all access to a snapshot at once; the running session's own row closes it.
      if (!inUse.has(resourceId.toLowerCase())) await compute.revokeAccess(resourceId, signal);
      await records.grants.delete(id);
      events.grantSwept({ jobId, resourceId });
      revokedCount++;
    } catch (error) {
      events.sweepFailed({ resourceId, message: messageOf(error) });
    }
  }
  return { revokedCount };
});

export const sweepSnapshots = defineActivity("sweep-snapshots", async (context) => {
  const { compute, config, events } = context;
  let deletedCount = 0;
  const sets = new Map<string, Promise<SnapshotSet>>();
  for (const subscriptionId of config.subscriptionIds) {
    const owned = compute.listOwned(subscriptionId, CONTROL_PLANE_TAG, config.controlPlaneId);
    for await (const { type, resourceId, tags } of owned) {
      if (type.toLowerCase() !== RESOURCE_TYPES.snapshot.toLowerCase()) continue;
      const reason = await whyUnneeded(context, sets, { type, resourceId, tags });
      if (reason === undefined) continue;
      try {
        await compute.startDeleteSnapshot(resourceId);
        events.snapshotSwept({ snapshotId: resourceId, reason });
        deletedCount++;
      } catch (error) {
        events.sweepFailed({ resourceId, message: messageOf(error) });
      }
    }
  }
  return { deletedCount };
});

/** What is known of the snapshots that one session made together. */
interface SnapshotSet {
  readonly isOver: boolean;
  /** Lower-case ids of the snapshots that restore points of the VM need. */
  readonly baseIds: ReadonlySet<string>;
}

/** The session is looked at before the index: it is closed only after its point was indexed. */
async function readSnapshotSet(
  context: AppContext,
  { setId, vmId }: { readonly setId: string; readonly vmId: string },
): Promise<SnapshotSet> {
  if (await isRunning(context, setId)) return { isOver: false, baseIds: new Set() };
  const points = await listPointsOfVm(context, vmId);
  const bases = points.flatMap(({ disks }) => disks.flatMap(({ snapshot }) => snapshot ?? []));
  return {
    isOver: true,
    baseIds: new Set(bases.map(({ snapshotId }) => snapshotId.toLowerCase())),
  };
}

/** @param sets what was read of sets before: the snapshots of a VM's disks need one look together */
async function whyUnneeded(
  context: AppContext,
  sets: Map<string, Promise<SnapshotSet>>,
  resource: OwnedResource,
): Promise<string | undefined> {
  const value = resource.tags[SNAPSHOT_SET_TAG];
  if (value === undefined) return undefined;
  let tag;
  try {
    tag = decodeSnapshotTag(context.config.masterKey, resource.resourceId, value);
  } catch (error) {
    // Not ours, whatever its other tag says: whoever made it may want it.
    if (error instanceof HoldfastError && error.code === "ForeignSnapshotTag") return undefined;
    throw error;
  }
  const key = `${tag.setId} ${tag.vmId}`;
  const read = sets.get(key) ?? readSnapshotSet(context, tag);
  sets.set(key, read);
  const { isOver, baseIds } = await read;
  const isNeeded = !isOver || baseIds.has(resource.resourceId.toLowerCase());
  return isNeeded ? undefined : `session ${tag.setId} is over and no restore point needs it`;
}
