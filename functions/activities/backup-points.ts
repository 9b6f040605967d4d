import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { planBackup, type DiskPlan, type SnapshotFacts } from "#core/backup/plan-backup.ts";
import { latestPointIn } from "#core/backup/plan-snapshot-cleanup.ts";
import type { BackupSpec } from "#core/model/job-record.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import type { BackupDiskResult } from "#core/protocol/worker-event.ts";
import type { SnapshotState } from "#core/ports/compute.ts";
import type { AppContext } from "../app-context.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import { defineActivity } from "./define-activity.ts";
import { preparePartJobs } from "./disk-parts.ts";
import { chooseImmutableUntil, readRules } from "./retention.ts";
import { getBackupJob, listPointsOfVm } from "./snapshots.ts";

/** Planning a backup before its job, and indexing its restore point after it. */
const CALLS_AT_ONCE = 8;

function factsOf(state: SnapshotState): SnapshotFacts {
  const { snapshotId, familyId, sourceDiskUniqueId, sizeBytes, needsToken } = state;
  return { snapshotId, familyId, sourceDiskUniqueId, sizeBytes, needsToken };
}

async function getSnapshot(context: AppContext, snapshotId: string): Promise<SnapshotFacts> {
  const state = await context.compute.readSnapshot(snapshotId);
  if (state === undefined)
    throw new HoldfastError("SnapshotNotFound", `${snapshotId} was deleted during the backup.`);
  return factsOf(state);
}

export const planBackupOfJob = defineActivity("plan-backup", async (context, input) => {
  const { jobId } = input;
  const plans = await planOnce(context, jobId, input.forceFull);
  // Retention may have let the parent go meanwhile. It marks and then looks who needs a point; here
  // the need is written before the mark is looked at.
  const parentIds = new Set(plans.flatMap(({ base }) => base?.parentPointId ?? []));
  for (const parentId of parentIds) {
    const parent = await context.records.points.read(parentId);
    if (parent?.value.state !== "available")
      return planned(context, jobId, await planOnce(context, jobId, true));
  }
  return planned(context, jobId, plans);
});

async function planned(context: AppContext, jobId: string, plans: readonly DiskPlan[]) {
  const fullCount = plans.filter((plan) => plan.kind === "full").length;
  const partJobs = await preparePartJobs(context, jobId);
  return { fullCount, incrementalCount: plans.length - fullCount, partJobs };
}

/** Plans, and writes the plan to the job and the session. */
async function planOnce(
  context: AppContext,
  jobId: string,
  forceFull: boolean,
): Promise<DiskPlan[]> {
  const { records, compute } = context;
  const { spec, sessionId, location } = await getBackupJob(context, jobId);
  const points = (await listPointsOfVm(context, spec.vm.vmId)).filter(
    (point) => point.pointId !== spec.pointId,
  );
  const parent = latestPointIn(spec.repositoryId, points);
  const disks = await mapBounded(spec.disks, CALLS_AT_ONCE, async (disk) => {
    const before = parent?.disks.find((each) => each.diskId === disk.diskId)?.snapshot;
    const base = before === undefined ? undefined : await compute.readSnapshot(before.snapshotId);
    return {
      diskId: disk.diskId,
      name: disk.name,
      sizeBytes: disk.sizeBytes,
      snapshot: await getSnapshot(context, disk.snapshotId),
      baseSnapshot: base?.provisioning === "succeeded" ? factsOf(base) : undefined,
    };
  });
  const sharing = {
    sharedFromBytes: context.config.sharedDiskBytes,
    workersMax: (await readWorkerConfiguration(context, location)).maximum,
  };
  const plans = planBackup({ forceFull, parent, disks, sharing });
  const facts = new Map(disks.map((disk) => [disk.diskId, disk.snapshot]));
  const planned = spec.disks.map(({ base: _base, parts: _parts, ...disk }) => {
    const plan = plans.find((each) => each.diskId === disk.diskId);
    const snapshot = facts.get(disk.diskId);
    return {
      ...disk,
      // The bytes to protect are those of the snapshot: the disk may have grown since.
      sizeBytes: snapshot?.sizeBytes ?? disk.sizeBytes,
      reason: plan?.reason ?? disk.reason,
      ...(snapshot?.needsToken === true ? { needsToken: true } : {}),
      ...(snapshot?.familyId === undefined ? {} : { familyId: snapshot.familyId }),
      ...(snapshot?.sourceDiskUniqueId === undefined
        ? {}
        : { sourceDiskUniqueId: snapshot.sourceDiskUniqueId }),
      ...(plan?.base === undefined ? {} : { base: plan.base }),
      ...(plan?.parts === undefined ? {} : { parts: [...plan.parts] }),
    };
  });
  const immutableUntil = await immutableUntilOf(context, sessionId, spec, points);
  await records.jobs.update(jobId, (job) =>
    job.state === "prepared" && job.spec.kind === "backup"
      ? {
          ...job,
          spec: {
            ...job.spec,
            disks: planned,
            ...(immutableUntil === undefined ? {} : { immutableUntil }),
          },
        }
      : undefined,
  );
  await records.sessions.update(sessionId, (session) => ({
    ...session,
    plan: plans.map(({ diskId, name, kind, reason }) => ({ diskId, name, kind, reason })),
  }));
  return plans;
}

async function immutableUntilOf(
  context: AppContext,
  sessionId: string,
  spec: BackupSpec,
  points: readonly RestorePoint[],
): Promise<string | undefined> {
  const { policyId, keepUntil } = await context.records.sessions.get(sessionId);
  const repository = await context.records.repositories.get(spec.repositoryId);
  const { pointId, takenAt } = spec;
  const point = { pointId, vmId: spec.vm.vmId, takenAt, policyId, keepUntil };
  return chooseImmutableUntil(repository, point, points, await readRules(context));
}

/** A worker that was given no base, or no parts to join, cannot know why: the plan does. */
function withPlan<Result extends BackupDiskResult>(
  result: Result,
  planned: Pick<BackupSpec["disks"][number], "base" | "reason" | "warning"> | undefined,
): Result {
  if (planned === undefined) return result;
  const { base, reason, warning } = planned;
  const warnings = warning === undefined ? result.warnings : [warning, ...result.warnings];
  return { ...result, warnings, ...(base === undefined ? { reason } : {}) };
}

/** The point is restorable since the worker wrote its manifest; this row makes it findable. */
export const indexRestorePoint = defineActivity("index-restore-point", async (context, input) => {
  const { records } = context;
  const { spec, result, sessionId } = await getBackupJob(context, input.jobId);
  if (result?.kind !== "backup" || result.pointId !== spec.pointId)
    throw new HoldfastError("ResultMissing", `Job '${input.jobId}' reported no restore point.`);
  const results = result.disks.map((each) =>
    withPlan(
      each,
      spec.disks.find(({ diskId }) => diskId === each.diskId),
    ),
  );
  const disks = spec.disks.map((disk) => {
    const done = results.find((each) => each.diskId === disk.diskId);
    if (done === undefined)
      throw new HoldfastError("ResultMissing", `The worker reported nothing of ${disk.name}.`);
    const { kind, reason, readBytes, storedBytes, changedBytes, durationMs, warnings } = done;
    return {
      diskId: disk.diskId,
      name: disk.name,
      slot: disk.slot,
      sizeBytes: disk.sizeBytes,
      kind,
      reason,
      readBytes,
      storedBytes,
      changedBytes,
      durationMs,
      warnings,
      snapshot: {
        snapshotId: disk.snapshotId,
        ...(disk.familyId === undefined ? {} : { familyId: disk.familyId }),
        ...(disk.sourceDiskUniqueId === undefined
          ? {}
          : { sourceDiskUniqueId: disk.sourceDiskUniqueId }),
      },
    };
  });
  const { keepUntil } = await records.sessions.get(sessionId);
  await records.points.insert(spec.pointId, {
    pointId: spec.pointId,
    vmId: spec.vm.vmId,
    vmName: spec.vm.name,
    repositoryId: spec.repositoryId,
    sessionId,
    ...(input.policyId === undefined ? {} : { policyId: input.policyId }),
    takenAt: spec.takenAt,
    state: "available",
    ...(keepUntil === undefined ? {} : { keepUntil }),
    ...(spec.immutableUntil === undefined ? {} : { immutableUntil: spec.immutableUntil }),
    vm: spec.vm,
    disks,
  });
  await records.sessions.update(sessionId, (session) => ({
    ...session,
    restorePointId: spec.pointId,
    backupDisks: results,
  }));
  const warningCount = results.reduce((count, disk) => count + disk.warnings.length, 0);
  return { pointId: spec.pointId, warningCount };
});
