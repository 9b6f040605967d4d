import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import type { BackupSpec, JobRecord, RestoreSpec } from "#core/model/job-record.ts";
import { PROTOCOL_VERSION, type Job, type RepositoryTarget } from "#core/protocol/job.ts";
import { doctorPart } from "./build-doctor-job.ts";
import { secretKey } from "../config.ts";
import type { AppContext } from "../app-context.ts";

/** A job as it is sealed: its record, and the secrets and grants that rest nowhere. */
/** Each is one request and some looks at it, a second apart: mostly waiting. */
export const GRANTS_AT_ONCE = 16;

export type Grant = (resourceId: string, access: "Read" | "Write") => Promise<string>;

/** Of the blocks that a health check of level `sample` reads; a year of monthly checks reads most. */
const SAMPLE_PERCENT = 10;
/** Times the longest job: it may wait for a worker before it begins, and its clock may differ. */
const MARGIN_FACTOR = 2;

async function targetOf(context: AppContext, repositoryId: string): Promise<RepositoryTarget> {
  const repository = await context.records.repositories.get(repositoryId);
  const { blobServiceUrl, container, folder, encryption } = repository;
  const target = { repositoryId, blobServiceUrl, container, folder };
  if (encryption.kind !== "password") return { ...target, encryption };
  const password = context.config.secrets.get(secretKey(encryption.secretName));
  if (password === undefined)
    throw new HoldfastError(
      "SecretNotFound",
      `The app has no secret '${encryption.secretName}' for repository '${repository.name}': add app setting HOLDFAST_SECRET_${secretKey(encryption.secretName)}.`,
    );
  return { ...target, encryption: { kind: "password", password } };
}

export async function buildJob(
  context: AppContext,
  record: JobRecord,
  attempt: number,
  workerId: string,
  grant: Grant,
): Promise<Job> {
  const { jobId, spec } = record;
  const expiresAt = new Date(context.clock().getTime() + context.config.sasSeconds * 1000);
  const ofEveryJob = {
    version: PROTOCOL_VERSION,
    jobId,
    attempt,
    workerId,
    expiresAt: expiresAt.toISOString(),
  } as const;
  if (spec.kind === "doctor")
    return { ...ofEveryJob, ...(await doctorPart(context, spec, workerId, grant)) };
  const common = { ...ofEveryJob, repository: await targetOf(context, spec.repositoryId) };
  switch (spec.kind) {
    case "backup":
      return { ...common, ...(await backupPart(context, spec, grant)) };
    case "backup-part": {
      const { repositoryId: _id, snapshotId, disk, ...asked } = spec;
      const sas = await grant(snapshotId, "Read");
      return { ...common, ...asked, disk: { ...disk, sas } };
    }
    case "restore":
      return { ...common, ...(await restorePart(context, spec, record.resumeAt ?? {}, grant)) };
    case "maintain": {
      const { repositoryId: _id, ...lists } = spec;
      const { run, maintenanceMarginSeconds } = context.config;
      const seconds = maintenanceMarginSeconds ?? run.jobDeadlineSeconds * MARGIN_FACTOR;
      return { ...common, ...lists, margins: { sessionSeconds: seconds, markedSeconds: seconds } };
    }
    case "check": {
      const { repositoryId: _id, ...asked } = spec;
      return { ...common, ...asked, samplePercent: SAMPLE_PERCENT };
    }
    case "archive":
    case "retrieve":
    case "import": {
      const { repositoryId: _id, ...asked } = spec;
      return { ...common, ...asked };
    }
  }
}

type Part<Kind extends Job["kind"]> = Omit<
  Extract<Job, { kind: Kind }>,
  "version" | "jobId" | "attempt" | "workerId" | "expiresAt" | "repository"
>;

async function backupPart(
  context: AppContext,
  spec: BackupSpec,
  grant: Grant,
): Promise<Part<"backup">> {
  const snapshotIds = spec.disks.flatMap(({ snapshotId, base }) =>
    base === undefined ? [snapshotId] : [snapshotId, base.snapshotId],
  );
  const granted = await mapBounded(
    snapshotIds,
    GRANTS_AT_ONCE,
    async (id) => [id, await grant(id, "Read")] as const,
  );
  const sasOf = new Map(granted);
  const disks = spec.disks.map(
    ({ diskId, name, slot, sizeBytes, snapshotId, base, needsToken, parts }) => ({
      diskId,
      name,
      slot,
      sizeBytes,
      sas: sasOf.get(snapshotId) ?? "",
      ...(base !== undefined && {
        base: { sas: sasOf.get(base.snapshotId) ?? "", parentPointId: base.parentPointId },
      }),
      ...(needsToken === true && { needsToken }),
      ...(parts !== undefined && { parts }),
    }),
  );
  return {
    kind: "backup",
    pointId: spec.pointId,
    takenAt: spec.takenAt,
    vm: spec.vm,
    disks,
    unchangedSampleCount: context.config.unchangedSampleCount,
    ...(spec.immutableUntil === undefined ? {} : { immutableUntil: spec.immutableUntil }),
  };
}

async function restorePart(
  { compute }: AppContext,
  spec: RestoreSpec,
  resumeAt: Readonly<Record<string, number>>,
  grant: Grant,
): Promise<Part<"restore">> {
  const { vmId, pointId, retrieval } = spec;
  const disks = await mapBounded(spec.disks, GRANTS_AT_ONCE, async (disk) => ({
    diskId: disk.diskId,
    sizeBytes: disk.sizeBytes,
    writtenToBytes: resumeAt[disk.diskId] ?? 0,
    sas: await grant(disk.targetDiskId, "Write"),
    // As the disk is now: a policy of the subscription may have given it the mode.
    ...((await compute.readDisk(disk.targetDiskId))?.settings.dataAccessAuthMode ===
    "AzureActiveDirectory"
      ? { needsToken: true }
      : {}),
  }));
  const source =
    retrieval === undefined
      ? ({ kind: "point" } as const)
      : ({ kind: "archive", ...retrieval } as const);
  return { kind: "restore", vmId, pointId, source, disks };
}
