/** Names of orchestrators, entities and events. They rest in histories: never rename one in use. */
export const ORCHESTRATORS = {
  policyRun: "policy-run",
  policyLane: "policy-lane",
  backupVm: "backup-vm",
  restoreVm: "restore-vm",
  runWorkerJob: "run-worker-job",
  awaitJob: "await-job",
  maintainRepository: "maintain-repository",
  checkRepository: "check-repository",
  importRepository: "import-repository",
  archivePoint: "archive-point",
  archiveRun: "archive-run",
  retrieveArchive: "retrieve-archive",
  prepareRegion: "prepare-region",
  doctorRun: "doctor-run",
  sweep: "sweep",
} as const;
export type OrchestratorName = (typeof ORCHESTRATORS)[keyof typeof ORCHESTRATORS];

export const ENTITIES = {
  workerPool: "worker-pool",
  workList: "work-list",
  diskAccessSlots: "disk-access-slots",
  regionTurn: "region-turn",
} as const;

/** Raised when a job's result is in the tables; its payload says nothing that must be believed. */
export const JOB_FINISHED_EVENT = "job-finished";

/** There is one sweep at a time. */
export const SWEEP_INSTANCE_ID = "sweep";

/** Error code of an activity that was asked to do something for a session that has ended. */
export const SESSION_OVER = "SessionOver";
