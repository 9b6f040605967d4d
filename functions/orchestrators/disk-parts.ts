/**
 * Disks that several workers share: one job for each part, all at the same time, before the backup's
 * own job joins what they wrote. What goes wrong here fails no backup: a disk of which a part is missing is
 * read by one worker, with a warning.
 *
 * Azure ends all access to a snapshot at once, so the session holds its shared snapshots (a row of
 * the ledger, a seat on a disk access) from before the first part until after the last one. Seats are
 * held without a worker meanwhile; the pool counts them beside those of jobs, so that nobody who has a
 * worker ever waits for them.
 */
import type { PartJob } from "../activities/disk-parts.ts";
import { failureOf, type Outcome } from "#core/model/outcome.ts";
import { leaveDiskPool, takeDiskSlots, type DiskPoolUse } from "./disk-slots.ts";
import { ORCHESTRATORS } from "./names.ts";
import {
  LOG_NUMBERS_PER_JOB,
  type RunWorkerJobInput,
  type WorkerJobValue,
} from "./run-worker-job.ts";
import { log, nowOf, step, type Run, type Steps, type Undo } from "./steps.ts";

export interface SharedBackup {
  readonly jobId: string;
  readonly location: string;
  readonly diskPool: DiskPoolUse;
  readonly partJobs: readonly PartJob[];
}

/** Reads the parts and notes with the backup's job which disks can be joined. */
export function* readInParts(run: Run, shared: SharedBackup, undos: Undo[]): Steps<void> {
  const { jobId, diskPool, partJobs } = shared;
  const holder = `${jobId}~parts`;
  undos.push({
    what: "give back the slots of shared disks",
    run: () => leaveDiskPool(run, diskPool, jobId, holder),
  });
  const held = yield* holdDisks(run, shared, holder);
  if (held.ok) yield* runParts(run, shared, holder);
  yield* leaveDiskPool(run, diskPool, jobId, holder);
  const { joinedCount, failed } = yield* step(run, "conclude-disk-parts", {
    jobId,
    ...(held.ok ? {} : { notStarted: held.error.message }),
  });
  yield* log(
    run,
    "info",
    `all parts of ${joinedCount} shared disks are there (${partJobs.length})`,
  );
  for (const { name, why } of failed)
    yield* log(run, "warning", `disk ${name} is read by one worker: ${why}`);
}

function* holdDisks(
  run: Run,
  { jobId, diskPool, partJobs }: SharedBackup,
  holder: string,
): Steps<Outcome<unknown>> {
  const slots = new Set(partJobs.map(({ diskIndex }) => diskIndex)).size;
  const beside = { holder, isBeside: true, only: "parts" } as const;
  const deadline = nowOf(run) + run.settings.regionSeconds * 1000;
  const wanted = { pool: { ...diskPool, slots }, jobId, deadline, beside };
  try {
    const seated = yield* takeDiskSlots(run, wanted, nothing);
    if (!seated.ok) return seated;
    yield* step(run, "hold-disk-parts", { jobId });
    return seated;
  } catch (error) {
    return failureOf(error);
  }
}

function* nothing(): Steps<void> {
  // Nobody has a worker yet.
}

function* runParts(
  run: Run,
  { jobId, location, diskPool, partJobs }: SharedBackup,
  holder: string,
): Steps<void> {
  const { df } = run.context;
  yield* log(run, "info", `${partJobs.length} workers share the largest disks`);
  const { location: poolLocation, subscriptionId } = diskPool;
  const parts = partJobs.map((part, number) => {
    const child: RunWorkerJobInput = {
      jobId: part.jobId,
      sessionId: jobId,
      location,
      settings: run.settings,
      sibling: {
        logNumber: (number + 2) * LOG_NUMBERS_PER_JOB,
        logPrefix: `part ${part.partIndex + 1} of disk ${part.diskIndex + 1}: `,
        holder,
        pool: { location: poolLocation, subscriptionId },
      },
    };
    return df.callSubOrchestrator(ORCHESTRATORS.runWorkerJob, child, `job-${part.jobId}`);
  });
  // They answer outcomes and never throw, so that this waits for all of them; the truth is in the jobs.
  const answers: unknown = yield df.Task.all(parts);
  for (const [number, answer] of (answers as Outcome<WorkerJobValue>[]).entries()) {
    const part = partJobs[number];
    if (answer.ok || part === undefined) continue;
    const what = `part ${part.partIndex + 1} of disk ${part.diskIndex + 1}`;
    yield* log(run, "warning", `${what} failed: ${answer.error.message}`);
  }
}
