import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { planSnapshotCleanup } from "#core/backup/plan-snapshot-cleanup.ts";
import { snapshotIdOf } from "#core/backup/snapshot-name.ts";
import {
  CONTROL_PLANE_TAG,
  encodeSnapshotTag,
  SNAPSHOT_SET_TAG,
} from "#core/backup/snapshot-tags.ts";
import { resourceGroupOf } from "#core/model/resource-id.ts";
import { spreadOver } from "#core/network/plan-disk-accesses.ts";
import { pointIdOfSession, type RestorePoint } from "#core/model/restore-point.ts";
import { disksOf } from "#core/model/vm-configuration.ts";
import type { BackupSpec, JobRecord } from "#core/model/job-record.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { poolNamesOf } from "./disk-accesses.ts";
import { getRunningSession } from "./running-session.ts";

/** A VM has at most 65 disks: its snapshots are all asked for at once, close together in time. */
const SNAPSHOTS_AT_ONCE = 65;
/** Requests that nobody waits for together. */
const CALLS_AT_ONCE = 8;

/** The job of a backup; throws when the job is another one. */
export async function getBackupJob(
  context: AppContext,
  jobId: string,
): Promise<JobRecord & { spec: BackupSpec }> {
  const record = await context.records.jobs.get(jobId);
  const { spec } = record;
  if (spec.kind !== "backup")
    throw new HoldfastError("WrongJobKind", `Job '${jobId}' is a ${spec.kind}, not a backup.`);
  return { ...record, spec };
}

/** Reads the VM once; a repeated run goes on with what the first one saw. */
export const captureVm = defineActivity("capture-vm", async (context, input) => {
  const { records, compute, clock } = context;
  const { jobId, vmId, vmResourceId, repositoryId } = input;
  const vm = await compute.readVm(vmResourceId);
  if (vm === undefined)
    throw new HoldfastError("VmNotFound", `${vmResourceId} does not exist any more.`);
  if (vm.vmId.toLowerCase() !== vmId.toLowerCase())
    throw new HoldfastError(
      "VmReplaced",
      `${vmResourceId} is another VM now (${vm.vmId}); the one to back up was ${vmId}.`,
    );
  await records.repositories.get(repositoryId);
  await records.jobs.insert(jobId, {
    jobId,
    sessionId: jobId,
    location: vm.location,
    state: "prepared",
    attempt: 0,
    progress: [],
    progressSequence: -1,
    spec: {
      kind: "backup",
      repositoryId,
      pointId: pointIdOfSession(jobId),
      takenAt: clock().toISOString(),
      vm,
      disks: disksOf(vm).map((disk) => ({
        diskId: disk.diskId,
        name: disk.name,
        slot: disk.slot,
        sizeBytes: disk.sizeBytes,
        snapshotId: snapshotIdOf(disk, jobId),
        reason: "not planned yet",
      })),
    },
  });
  const { spec, location } = await getBackupJob(context, jobId);
  return { location, diskCount: spec.disks.length };
});

export const startSnapshots = defineActivity("start-snapshots", async (context, input) => {
  const { compute, config } = context;
  const { jobId, accesses } = input;
  const { spec, sessionId, location } = await getBackupJob(context, jobId);
  await getRunningSession(context, sessionId);
  await noteTime(context, jobId, spec);
  const { subscriptionId } = resourceGroupOf(spec.vm.resourceId);
  const names = poolNamesOf(context, { location, subscriptionId });
  const spread = spreadOver(accesses, { count: spec.disks.length, jobId });
  const sources = new Map(disksOf(spec.vm).map((disk) => [disk.diskId, disk]));
  const numbered = spec.disks.map((disk, index) => ({ disk, access: spread[index] ?? "" }));
  await mapBounded(numbered, SNAPSHOTS_AT_ONCE, async ({ disk, access }) => {
    const source = sources.get(disk.diskId);
    if (source === undefined)
      throw new HoldfastError("CorruptRecord", `Job '${jobId}' names an unknown disk.`);
    const tag = { setId: jobId, vmId: spec.vm.vmId, slot: disk.slot };
    await compute.startSnapshot({
      snapshotId: disk.snapshotId,
      sourceDiskId: source.resourceId,
      location: source.location,
      diskAccessId: names.diskAccessIdOf(access),
      dataAccessAuthMode: source.dataAccessAuthMode,
      tags: {
        [CONTROL_PLANE_TAG]: config.controlPlaneId,
        [SNAPSHOT_SET_TAG]: encodeSnapshotTag(config.masterKey, disk.snapshotId, tag),
      },
    });
  });
  return { snapshotCount: spec.disks.length };
});

/** The point's time is that of its snapshots: making a region's network took a while since. */
async function noteTime(context: AppContext, jobId: string, spec: BackupSpec): Promise<void> {
  const [first] = spec.disks;
  if (first === undefined || (await context.compute.readSnapshot(first.snapshotId)) !== undefined)
    return;
  const takenAt = context.clock().toISOString();
  await context.records.jobs.update(jobId, (job) =>
    job.state === "prepared" && job.spec.kind === "backup"
      ? { ...job, spec: { ...job.spec, takenAt } }
      : undefined,
  );
}

const COPY_DONE_PERCENT = 100;

export const readSnapshots = defineActivity("read-snapshots", async (context, { jobId }) => {
  const { spec } = await getBackupJob(context, jobId);
  const states = await mapBounded(spec.disks, CALLS_AT_ONCE, async (disk) => {
    const state = await context.compute.readSnapshot(disk.snapshotId);
    if (state?.provisioning === "failed")
      throw new HoldfastError("SnapshotFailed", `Azure could not take ${disk.snapshotId}.`);
    return { name: disk.name, state };
  });
  const pending = states.find(
    ({ state }) =>
      state?.provisioning !== "succeeded" || state.completionPercent < COPY_DONE_PERCENT,
  );
  if (pending === undefined) return { ready: true };
  return { ready: false, waitingFor: `snapshot of disk ${pending.name}` };
});

/** Undo of `start-snapshots`: also for those that were asked for and are not there yet. */
export const deleteSessionSnapshots = defineActivity(
  "delete-session-snapshots",
  async (context, { jobId }) => {
    const record = await context.records.jobs.read(jobId);
    if (record?.value.spec.kind !== "backup") return { deletedCount: 0 };
    const { disks } = record.value.spec;
    await mapBounded(disks, CALLS_AT_ONCE, (disk) =>
      context.compute.startDeleteSnapshot(disk.snapshotId),
    );
    return { deletedCount: disks.length };
  },
);

export async function listPointsOfVm(context: AppContext, vmId: string): Promise<RestorePoint[]> {
  const points: RestorePoint[] = [];
  for await (const { value } of context.records.points.list({ prefix: `${vmId}-` }))
    points.push(value);
  return points;
}

/** Deletes the snapshots that are no base any more, then forgets them in the index. */
export const cleanSnapshots = defineActivity("clean-snapshots", async (context, { vmId }) => {
  const { compute, records } = context;
  const decisions = planSnapshotCleanup(await listPointsOfVm(context, vmId));
  const unneeded = decisions.filter((decision) => !decision.keep);
  await mapBounded(unneeded, CALLS_AT_ONCE, async ({ snapshotId }) =>
    compute.startDeleteSnapshot(snapshotId),
  );
  const gone = new Set(unneeded.map((decision) => decision.snapshotId));
  for (const pointId of new Set(unneeded.map((decision) => decision.pointId))) {
    await records.points.update(pointId, (point) => ({
      ...point,
      disks: point.disks.map(({ snapshot, ...disk }) =>
        snapshot === undefined || gone.has(snapshot.snapshotId) ? disk : { ...disk, snapshot },
      ),
    }));
  }
  return { deletedCount: unneeded.length, keptCount: decisions.length - unneeded.length };
});
