import type { BackupSpec } from "#core/model/job-record.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { grantId } from "./grants.ts";
import { getRunningSession } from "./running-session.ts";
import { getBackupJob } from "./snapshots.ts";

/** Disks that several workers share: a job for each part, what they hold together, what became of them. */
export interface PartJob {
  readonly jobId: string;
  readonly diskIndex: number;
  readonly partIndex: number;
}

/** Begins with the id of the backup's own job, as everything that is started for it. */
export function partJobsOf(jobId: string, { disks }: Pick<BackupSpec, "disks">): PartJob[] {
  return disks.flatMap(({ parts = [] }, diskIndex) =>
    parts.map((_, partIndex) => ({
      jobId: `${jobId}~part-${diskIndex}-${partIndex}`,
      diskIndex,
      partIndex,
    })),
  );
}

/** The jobs are there before anybody is asked to do them. A plan that was made again counts. */
export async function preparePartJobs(context: AppContext, jobId: string): Promise<PartJob[]> {
  const { spec, sessionId, location } = await getBackupJob(context, jobId);
  const { repositoryId, pointId, immutableUntil } = spec;
  const partJobs = partJobsOf(jobId, spec);
  for (const { jobId: partJobId, diskIndex, partIndex } of partJobs) {
    const disk = spec.disks[diskIndex];
    const part = disk?.parts?.[partIndex];
    if (disk === undefined || part === undefined) continue;
    const { diskId, name, sizeBytes, snapshotId, needsToken } = disk;
    const partSpec = {
      kind: "backup-part",
      repositoryId,
      pointId,
      disk: { diskId, name, sizeBytes, ...(needsToken === true && { needsToken }) },
      snapshotId,
      part,
      ...(immutableUntil === undefined ? {} : { immutableUntil }),
    } as const;
    await context.records.jobs.insert(partJobId, {
      jobId: partJobId,
      sessionId,
      location,
      spec: partSpec,
      state: "prepared",
      attempt: 0,
      progress: [],
      progressSequence: -1,
    });
    await context.records.jobs.update(partJobId, (job) =>
      job.state === "prepared" ? { ...job, spec: partSpec } : undefined,
    );
  }
  return partJobs;
}

/**
 * The session's own hold on the snapshots of its shared disks: a row of the ledger without access. As
 * long as it is there, no part that ends takes the others' access away.
 */
export const holdDiskParts = defineActivity("hold-disk-parts", async (context, { jobId }) => {
  const { records, clock } = context;
  const { spec, sessionId } = await getBackupJob(context, jobId);
  await getRunningSession(context, sessionId);
  const grantedAt = clock().toISOString();
  for (const { snapshotId: resourceId, parts } of spec.disks) {
    if (parts === undefined) continue;
    const row = { jobId, sessionId, resourceId, access: "Read", grantedAt } as const;
    await records.grants.put(grantId(jobId, resourceId), row);
  }
  return {};
});

/**
 * What the parts came to, before the backup's job is sent: disks whose parts are all there are joined,
 * the others are read by one worker, with a warning.
 */
export const concludeDiskParts = defineActivity("conclude-disk-parts", async (context, input) => {
  const { records } = context;
  const { jobId, notStarted } = input;
  const { spec } = await getBackupJob(context, jobId);
  const failures = new Map<number, string>();
  for (const { jobId: partJobId, diskIndex, partIndex } of partJobsOf(jobId, spec)) {
    const job = await records.jobs.get(partJobId);
    if (job.state === "succeeded" || failures.has(diskIndex)) continue;
    const why = notStarted ?? job.error?.message ?? "no worker has done it";
    failures.set(diskIndex, `Part ${partIndex + 1} failed: ${why}`);
  }
  await records.jobs.update(jobId, (job) =>
    job.state === "prepared" && job.spec.kind === "backup"
      ? { ...job, spec: { ...job.spec, disks: withoutFailed(job.spec, failures) } }
      : undefined,
  );
  const failed = [...failures].map(([diskIndex, why]) => ({
    name: spec.disks[diskIndex]?.name ?? "",
    why,
  }));
  const joinedCount = spec.disks.filter(
    ({ parts }, diskIndex) => parts !== undefined && !failures.has(diskIndex),
  ).length;
  return { joinedCount, failed };
});

function withoutFailed(
  spec: BackupSpec,
  failures: ReadonlyMap<number, string>,
): BackupSpec["disks"] {
  return spec.disks.map((disk, diskIndex) => {
    const why = failures.get(diskIndex);
    if (why === undefined) return disk;
    const { parts: _parts, ...rest } = disk;
    return { ...rest, warning: `${why} One worker has read all of the disk.` };
  });
}
