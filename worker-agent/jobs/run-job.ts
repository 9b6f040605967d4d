import { unreachable } from "#core/lib/assert.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { Job } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import type { ProgressBoard } from "../progress-board.ts";
import { runBackup } from "./backup.ts";
import { runImport } from "./import.ts";
import type { JobTools } from "./job-tools.ts";
import { runMaintain } from "./maintain.ts";
import { runRestore } from "./restore.ts";

/** Does one job to its end. Errors are `HoldfastError`s of the store, the disks or the repository. */
export async function runJob(
  tools: JobTools,
  job: Job,
  board: ProgressBoard,
  signal: AbortSignal,
): Promise<JobResult> {
  switch (job.kind) {
    case "backup":
      return runBackup(tools, job, board, signal);
    case "restore":
      return runRestore(tools, job, board, signal);
    case "import":
      return runImport(tools, job, signal);
    case "maintain":
      return runMaintain(tools, job, signal);
    case "check":
    case "archive":
    case "retrieve":
      throw new HoldfastError(
        "UnsupportedJob",
        `This version of the worker agent does not know jobs of kind ${job.kind}.`,
      );
    default:
      return unreachable(job);
  }
}
