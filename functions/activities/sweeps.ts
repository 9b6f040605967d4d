import {
  CONTROL_PLANE_TAG,
  decodeSnapshotTag,
  SNAPSHOT_SET_TAG,
} from "#core/backup/snapshot-tags.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { RESOURCE_TYPES } from "#core/model/resource-id.ts";
import type { OwnedResource } from "#core/ports/compute.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { listPointsOfVm } from "./snapshots.ts";

/**
 * Sweeps: what a crash left behind. Safe against everything that runs: a session's row is there
 * before anything of it is made, and only what belongs to a session that is over is touched.
 */
export const listWorkers = defineActivity("list-workers", async (context) => {
  const byLocation = new Map<string, string[]>();
  for await (const { id } of context.records.regions.list()) byLocation.set(id, []);
  for await (const { value } of context.records.workers.list()) {
    const workerIds = byLocation.get(value.location) ?? [];
    byLocation.set(value.location, [...workerIds, value.workerId]);
  }
  return { regions: Array.from(byLocation, ([location, workerIds]) => ({ location, workerIds })) };
});

async function isRunning(context: AppContext, sessionId: string): Promise<boolean> {
  const session = await context.records.sessions.read(sessionId);
  return session?.value.state === "running";
}

export const sweepGrants = defineActivity("sweep-grants", async (context, _input, signal) => {
  const { records, compute, events } = context;
  let revokedCount = 0;
  for await (const { id, value } of records.grants.list()) {
    if (await isRunning(context, value.sessionId)) continue;
    await compute.revokeAccess(value.resourceId, signal);
    await records.grants.delete(id);
    events.grantSwept({ jobId: value.jobId, resourceId: value.resourceId });
    revokedCount++;
  }
  return { revokedCount };
});

export const sweepSnapshots = defineActivity("sweep-snapshots", async (context) => {
  const { compute, config, events } = context;
  let deletedCount = 0;
  for (const subscriptionId of config.subscriptionIds) {
    const owned = compute.listOwned(subscriptionId, CONTROL_PLANE_TAG, config.controlPlaneId);
    for await (const resource of owned) {
      if (resource.type.toLowerCase() !== RESOURCE_TYPES.snapshot.toLowerCase()) continue;
      const reason = await whyUnneeded(context, resource);
      if (reason === undefined) continue;
      await compute.startDeleteSnapshot(resource.resourceId);
      events.snapshotSwept({ snapshotId: resource.resourceId, reason });
      deletedCount++;
    }
  }
  return { deletedCount };
});

/** The session is looked at before the index: it is closed only after its point was indexed. */
async function whyUnneeded(
  context: AppContext,
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
  if (await isRunning(context, tag.setId)) return undefined;
  const points = await listPointsOfVm(context, tag.vmId);
  const isBase = points.some((point) =>
    point.disks.some(
      (disk) => disk.snapshot?.snapshotId.toLowerCase() === resource.resourceId.toLowerCase(),
    ),
  );
  return isBase ? undefined : `session ${tag.setId} is over and no restore point needs it`;
}
