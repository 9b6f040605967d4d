import type { OrchestrationHandler } from "durable-functions";
import { archivePoint, archiveRun } from "./archive-points.ts";
import { awaitJob } from "./await-job.ts";
import { backupVm } from "./backup-vm.ts";
import { checkRepository } from "./check-repository.ts";
import { doctorRun } from "./doctor.ts";
import { importRepository } from "./import-repository.ts";
import { maintainRepository } from "./maintain-repository.ts";
import { ORCHESTRATORS, type OrchestratorName } from "./names.ts";
import { policyLane, policyRun } from "./policy-run.ts";
import { prepareRegion } from "./prepare-region.ts";
import { restoreVm } from "./restore-vm.ts";
import { retrieveArchive } from "./retrieve-archive.ts";
import { runWorkerJob } from "./run-worker-job.ts";
import { sweep } from "./sweep.ts";

/** Every orchestrator by its name. */
export const ORCHESTRATOR_HANDLERS: Readonly<Record<OrchestratorName, OrchestrationHandler>> = {
  [ORCHESTRATORS.policyRun]: policyRun,
  [ORCHESTRATORS.policyLane]: policyLane,
  [ORCHESTRATORS.backupVm]: backupVm,
  [ORCHESTRATORS.restoreVm]: restoreVm,
  [ORCHESTRATORS.runWorkerJob]: runWorkerJob,
  [ORCHESTRATORS.awaitJob]: awaitJob,
  [ORCHESTRATORS.maintainRepository]: maintainRepository,
  [ORCHESTRATORS.checkRepository]: checkRepository,
  [ORCHESTRATORS.importRepository]: importRepository,
  [ORCHESTRATORS.archivePoint]: archivePoint,
  [ORCHESTRATORS.archiveRun]: archiveRun,
  [ORCHESTRATORS.retrieveArchive]: retrieveArchive,
  [ORCHESTRATORS.prepareRegion]: prepareRegion,
  [ORCHESTRATORS.doctorRun]: doctorRun,
  [ORCHESTRATORS.sweep]: sweep,
};
