import { unreachable } from "#core/lib/assert.ts";
import type { Job } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import type { ProgressBoard } from "../progress-board.ts";
import { runArchive } from "./archive.ts";
import { runBackupPart } from "./backup-part.ts";
import { runBackup } from "./backup.ts";
import { runCheck } from "./check.ts";
import { runDoctor } from "./doctor.ts";
import { runImport } from "./import.ts";
import type { JobTools } from "./job-tools.ts";
import { runMaintain } from "./maintain.ts";
import { runRestore } from "./restore.ts";
import { runRetrieve } from "./retrieve.ts";

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
    case "backup-part":
      return runBackupPart(tools, job, board, signal);
    case "restore":
      return runRestore(tools, job, board, signal);
    case "import":
      return runImport(tools, job, signal);
    case "maintain":
      return runMaintain(tools, job, signal);
    case "archive":
      return runArchive(tools, job, board, signal);
    case "retrieve":
      return runRetrieve(tools, job, signal);
    case "check":
      return runCheck(tools, job, signal);
    case "doctor":
      return runDoctor(tools, job, signal);
    default:
      return unreachable(job);
  }
}
