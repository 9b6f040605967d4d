import * as archives from "./archives.ts";
import * as backupPoints from "./backup-points.ts";
import * as doctor from "./doctor.ts";
import * as diskAccesses from "./disk-accesses.ts";
import * as diskParts from "./disk-parts.ts";
import * as diskSeats from "./disk-seats.ts";
import * as grants from "./grants.ts";
import * as healthChecks from "./health-checks.ts";
import * as imports from "./imports.ts";
import * as jobs from "./jobs.ts";
import * as maintenance from "./maintenance.ts";
import * as policies from "./policies.ts";
import * as regions from "./regions.ts";
import * as restingWorkers from "./resting-workers.ts";
import * as restoredDisks from "./restored-disks.ts";
import * as restores from "./restores.ts";
import * as retrievals from "./retrievals.ts";
import * as sessions from "./sessions.ts";
import * as snapshots from "./snapshots.ts";
import * as sweptDiskAccesses from "./sweep-disk-accesses.ts";
import * as sweptRestores from "./sweep-restores.ts";
import * as sweptWorkers from "./sweep-workers.ts";
import * as sweeps from "./sweeps.ts";
import * as workers from "./workers.ts";
import type { ActivityName } from "./activity-contract.ts";
import type { ActivityDefinition } from "./define-activity.ts";

/** Every activity by its name: the compiler refuses one that is missing or wrongly named. */
export const ACTIVITIES: { readonly [Name in ActivityName]: ActivityDefinition<Name> } = {
  "claim-backup": sessions.claimBackup,
  "claim-repository": sessions.claimRepository,
  "plan-maintenance": maintenance.planMaintenance,
  "index-maintenance": maintenance.indexMaintenance,
  "claim-archive": archives.claimArchive,
  "plan-archive": archives.planArchive,
  "index-archive": archives.indexArchive,
  "choose-archives": archives.chooseArchives,
  "read-archive-target": archives.readArchiveTarget,
  "plan-retrieval": retrievals.planRetrievalOf,
  "index-retrieval": retrievals.indexRetrieval,
  "read-retrieval": retrievals.readRetrieval,
  "plan-check": healthChecks.planCheck,
  "read-check": healthChecks.readCheck,
  "index-check": healthChecks.indexCheck,
  "plan-import": imports.planImport,
  "read-import": imports.readImport,
  "index-import": imports.indexImport,
  "capture-vm": snapshots.captureVm,
  "read-disk-pool": diskAccesses.readDiskPool,
  "plan-disk-accesses": diskAccesses.planDiskAccessesOf,
  "make-disk-accesses": diskAccesses.makeDiskAccesses,
  "read-disk-wishes": diskSeats.readDiskWishes,
  "place-disks": diskSeats.placeDisks,
  "start-snapshots": snapshots.startSnapshots,
  "read-snapshots": snapshots.readSnapshots,
  "plan-region": regions.planRegionOf,
  "execute-region-action": regions.executeRegionAction,
  "plan-backup": backupPoints.planBackupOfJob,
  "hold-disk-parts": diskParts.holdDiskParts,
  "conclude-disk-parts": diskParts.concludeDiskParts,
  "index-restore-point": backupPoints.indexRestorePoint,
  "clean-snapshots": snapshots.cleanSnapshots,
  "delete-session-snapshots": snapshots.deleteSessionSnapshots,
  "close-session": sessions.closeSession,
  "append-log": sessions.appendLog,
  "choose-worker": workers.chooseWorker,
  "register-worker": workers.registerWorker,
  "recover-worker": restingWorkers.recoverWorker,
  "rest-worker": restingWorkers.restWorker,
  "start-worker-nic": workers.startWorkerNic,
  "read-worker-nic": workers.readWorkerNic,
  "start-worker-vm": workers.startWorkerVm,
  "read-worker-vm": workers.readWorkerVm,
  "install-agent": workers.installAgent,
  "read-install": workers.readInstall,
  "read-worker": workers.readWorker,
  "start-worker-deallocation": restingWorkers.startWorkerDeallocation,
  "read-worker-deallocation": restingWorkers.readWorkerDeallocation,
  "start-worker-removal": workers.startWorkerRemoval,
  "finish-worker-removal": workers.finishWorkerRemoval,
  "dispatch-job": jobs.dispatchJob,
  "read-job-state": jobs.readJobState,
  "plan-doctor": doctor.planDoctor,
  "conclude-doctor": doctor.concludeDoctor,
  "explain-network": doctor.explainNetwork,
  "revoke-grants": grants.revokeGrants,
  "plan-restore": restores.planRestoreOf,
  "start-restore-disks": restores.startRestoreDisks,
  "read-restore-disks": restores.readRestoreDisks,
  "start-restore-nics": restores.startRestoreNics,
  "read-restore-nics": restores.readRestoreNics,
  "start-restore-vm": restores.startRestoreVm,
  "read-restore-vm": restores.readRestoreVm,
  "finish-restore-disks": restoredDisks.finishRestoreDisks,
  "index-restore": restores.indexRestore,
  "delete-restored": restores.deleteRestored,
  "choose-vms": policies.chooseVmsOfPolicy,
  "read-policy-target": policies.readPolicyTarget,
  "list-workers": sweptWorkers.listWorkers,
  "list-disk-pools": sweptDiskAccesses.listDiskPools,
  "find-ended-slot-holders": sweptDiskAccesses.findEndedSlotHolders,
  "find-unused-disk-accesses": sweptDiskAccesses.findUnusedDiskAccesses,
  "remove-disk-accesses": sweptDiskAccesses.removeDiskAccesses,
  "sweep-grants": sweeps.sweepGrants,
  "sweep-snapshots": sweeps.sweepSnapshots,
  "sweep-restores": sweptRestores.sweepRestores,
  "sweep-strays": sweptWorkers.sweepStrays,
  "find-ended-holders": sweptWorkers.findEndedHolders,
};
