import { HoldfastError } from "#core/lib/errors.ts";
import { isLater } from "#core/backup/plan-snapshot-cleanup.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { archiveIdOf, slotKey, type Session } from "#core/model/session.ts";
import { defineActivity } from "./define-activity.ts";
import { getRepositorySession, getResult, prepareJob } from "./repositories.ts";
import { getRunningSession } from "./running-session.ts";

/** Archives: images of restore points in the archive tier, by a policy's schedule and on demand. */
const DAY_MS = 24 * 3600 * 1000;

export const claimArchive = defineActivity("claim-archive", async (context, input) => {
  const { records, clock } = context;
  const { retentionDays, ...fields } = input;
  const now = clock();
  await records.sessions.insert(input.sessionId, {
    type: "archive",
    state: "running",
    startedAt: now.toISOString(),
    jobId: input.sessionId,
    keepUntil: new Date(now.getTime() + retentionDays * DAY_MS).toISOString(),
    ...fields,
  });
  return {};
});

export const planArchive = defineActivity("plan-archive", async (context, { sessionId }) => {
  const { records } = context;
  const session = await getRepositorySession(context, sessionId);
  const { archiveId, restorePointId } = namesOf(session);
  const { repositoryId, keepUntil } = session;
  // The session names the point since before: retention that marks it from now on lets it be.
  const point = await records.points.get(restorePointId);
  if (point.state !== "available" || point.damaged !== undefined)
    throw new HoldfastError(
      "RestorePointUnusable",
      `Restore point '${restorePointId}' is ${point.damaged === undefined ? point.state : "damaged"}: it cannot be archived.`,
    );
  const { immutability } = await records.repositories.get(repositoryId);
  const immutableUntil = immutability.kind === "on" ? keepUntil : undefined;
  const location = point.vm.location;
  const spec = {
    kind: "archive",
    repositoryId,
    vmId: point.vmId,
    pointId: point.pointId,
    archiveId,
    ...(immutableUntil === undefined ? {} : { immutableUntil }),
  } as const;
  await prepareJob(context, sessionId, { sessionId, location, spec });
  return { location };
});

function namesOf({ sessionId, archiveId, restorePointId }: Session): {
  archiveId: string;
  restorePointId: string;
} {
  if (archiveId === undefined || restorePointId === undefined)
    throw new HoldfastError("WrongSession", `Session '${sessionId}' makes no archive.`);
  return { archiveId, restorePointId };
}

export const indexArchive = defineActivity("index-archive", async (context, { sessionId }) => {
  const { records, clock } = context;
  const session = await records.sessions.get(sessionId);
  const { spec, result } = await getResult(context, sessionId, "archive");
  const found = await records.points.get(spec.pointId);
  const point: RestorePoint = {
    ...found,
    // A restore from the archive asks neither for snapshots nor for how long the point stays.
    disks: found.disks.map(({ snapshot: _snapshot, ...disk }) => disk),
  };
  const { kind: _kind, archiveId, ...archive } = result;
  await records.archives.insert(spec.archiveId, {
    archiveId: spec.archiveId,
    vmId: spec.vmId,
    vmName: point.vmName,
    repositoryId: spec.repositoryId,
    sessionId,
    ...(session.policyId === undefined ? {} : { policyId: session.policyId }),
    archivedAt: clock().toISOString(),
    state: "available",
    ...(session.keepUntil === undefined ? {} : { keepUntil: session.keepUntil }),
    ...(spec.immutableUntil === undefined ? {} : { immutableUntil: spec.immutableUntil }),
    storedBytes: archive.storedBytes,
    objectCount: archive.objectCount,
    disks: archive.disks,
    point,
  });
  await records.sessions.update(sessionId, (each) => ({ ...each, archive }));
  return { archiveId, storedBytes: archive.storedBytes, objectCount: archive.objectCount };
});

/** The newest sound point of each VM that the policy backs up, unless it is archived already. */
export const chooseArchives = defineActivity("choose-archives", async (context, input) => {
  const { records, clock } = context;
  const { sessionId, policyId } = input;
  const policy = await records.policies.get(policyId);
  const known = await records.sessions.read(sessionId);
  const retentionDays = policy.archive?.retentionDays ?? 0;
  if (known?.value.targets !== undefined)
    return { count: known.value.targets.length, retentionDays };
  const newest = new Map<string, RestorePoint>();
  for await (const { value: point } of records.points.list()) {
    if (point.policyId !== policyId || point.repositoryId !== policy.repositoryId) continue;
    if (point.state !== "available" || point.damaged !== undefined) continue;
    const best = newest.get(point.vmId);
    if (best === undefined || isLater(point, best)) newest.set(point.vmId, point);
  }
  const archived = new Set<string>();
  for await (const { value } of records.archives.list()) archived.add(value.point.pointId);
  const targets = [...newest.values()]
    .filter(({ pointId }) => !archived.has(pointId))
    .map(({ vmId, vmName, vm, pointId }) => ({
      vmId,
      vmName,
      vmResourceId: vm.resourceId,
      restorePointId: pointId,
    }));
  await records.sessions.insert(sessionId, {
    sessionId,
    type: "archive",
    state: "running",
    trigger: "schedule",
    startedAt: clock().toISOString(),
    policyId,
    repositoryId: policy.repositoryId,
    targets,
  });
  return { count: targets.length, retentionDays };
});

export const readArchiveTarget = defineActivity("read-archive-target", async (context, input) => {
  const session = await getRunningSession(context, input.sessionId);
  const target = session.targets?.[input.index];
  if (target?.restorePointId === undefined || session.repositoryId === undefined)
    throw new HoldfastError("TargetNotFound", `Session '${input.sessionId}' has no such point.`);
  const { restorePointId, vmId, vmName } = target;
  const archiveId = archiveIdOf(restorePointId, slotKey(new Date(session.startedAt)));
  return { restorePointId, vmId, vmName, archiveId, repositoryId: session.repositoryId };
});
