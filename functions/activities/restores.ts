import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { SESSION_TAG } from "#core/backup/snapshot-tags.ts";
import { resourceGroupOf } from "#core/model/resource-id.ts";
import { spreadOver } from "#core/network/plan-disk-accesses.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import {
  planRestore,
  planTargets,
  restoredResourceIds,
  type RestorePlan,
  type RestoreRequest,
} from "#core/restore/plan-restore.ts";
import type { AppContext } from "../app-context.ts";
import type { Readiness } from "./activity-contract.ts";
import { defineActivity } from "./define-activity.ts";
import { poolNamesOf } from "./disk-accesses.ts";
import { getRestorable, whyUnreadable, type Restorable } from "./restorable.ts";
import { getRunningSession } from "./running-session.ts";
import { readinessOf } from "./workers.ts";

/** Steps of a restore. The session holds what was asked for; the plan is derived from it each time. */
const CALLS_AT_ONCE = 8;

type Targets = Omit<RestorePlan, "conflicts"> & Restorable;

export async function targetsOf(context: AppContext, sessionId: string): Promise<Targets> {
  const { restoreRequest } = await context.records.sessions.get(sessionId);
  if (restoreRequest === undefined)
    throw new HoldfastError("WrongSession", `Session '${sessionId}' is no restore.`);
  const restorable = await getRestorable(context, restoreRequest);
  return { ...restorable, ...planTargets(restorable.point, restoreRequest) };
}

/** Why a restore cannot be done; empty when it can. */
export async function findConflicts(
  context: AppContext,
  point: RestorePoint,
  request: RestoreRequest & { readonly retrievalId?: string | undefined },
): Promise<readonly string[]> {
  const existing = await findExisting(context, planTargets(point, request));
  const { conflicts } = planRestore(point, request, (id) => existing.has(id));
  const { retrievalId } = request;
  const why = retrievalId === undefined ? undefined : await whyUnreadable(context, retrievalId);
  return why === undefined ? conflicts : [...conflicts, why];
}

async function findExisting(
  context: AppContext,
  targets: Omit<RestorePlan, "conflicts">,
): Promise<Set<string>> {
  const { compute } = context;
  const found = await mapBounded(restoredResourceIds(targets), CALLS_AT_ONCE, async (id) => {
    if (id === targets.vmResourceId) return (await compute.readVmProvisioning(id)) ? id : [];
    const isNic = targets.nics.some((nic) => nic.nicId === id);
    const state = isNic ? await compute.readNicProvisioning(id) : await compute.readDisk(id);
    return state === undefined ? [] : id;
  });
  return new Set(found.flat());
}

export const planRestoreOf = defineActivity("plan-restore", async (context, { sessionId }) => {
  const { records } = context;
  const { restoreRequest } = await getRunningSession(context, sessionId);
  const targets = await targetsOf(context, sessionId);
  const { point, retrieval } = targets;
  // A repeated run has its job already; what exists now may be its own work.
  if ((await records.jobs.read(sessionId)) === undefined && restoreRequest !== undefined) {
    const conflicts = await findConflicts(context, point, restoreRequest);
    if (conflicts.length > 0)
      throw new HoldfastError("RestoreConflict", `Nothing was restored: ${conflicts.join("; ")}.`);
  }
  await records.repositories.get(point.repositoryId);
  const plannedAt = context.clock().toISOString();
  await records.restorations.insert(sessionId, { plannedAt });
  await records.jobs.insert(sessionId, {
    jobId: sessionId,
    sessionId,
    location: targets.location,
    state: "prepared",
    attempt: 0,
    progress: [],
    progressSequence: -1,
    spec: {
      kind: "restore",
      repositoryId: point.repositoryId,
      vmId: point.vmId,
      pointId: point.pointId,
      ...(retrieval === undefined ? {} : { retrieval }),
      disks: targets.disks.map(({ source, diskId }) => ({
        diskId: source.diskId,
        sizeBytes: sizeOf(point, source.diskId),
        targetDiskId: diskId,
      })),
    },
  });
  return { location: targets.location, diskCount: targets.disks.length };
});

/** Size in the restore point: that is what was read, whatever the configuration said. */
function sizeOf(point: RestorePoint, diskId: string): number {
  const disk = point.disks.find((each) => each.diskId === diskId);
  if (disk === undefined)
    throw new HoldfastError("DiskNotInPoint", `Disk ${diskId} is not in ${point.pointId}.`);
  return disk.sizeBytes;
}

export const startRestoreDisks = defineActivity(
  "start-restore-disks",
  async (context, { sessionId, accesses }) => {
    await getRunningSession(context, sessionId);
    const targets = await targetsOf(context, sessionId);
    const { subscriptionId } = resourceGroupOf(targets.vmResourceId);
    const names = poolNamesOf(context, { location: targets.location, subscriptionId });
    const spread = spreadOver(accesses, { count: targets.disks.length, jobId: sessionId });
    const numbered = targets.disks.map((disk, index) => ({ ...disk, access: spread[index] ?? "" }));
    await mapBounded(numbered, CALLS_AT_ONCE, ({ source, diskId, access }) =>
      context.compute.startUploadDisk({
        diskId,
        location: targets.location,
        zones: source.zones,
        sizeBytes: sizeOf(targets.point, source.diskId),
        skuName: source.skuName,
        osType: source.osType,
        hyperVGeneration: source.hyperVGeneration,
        securityType: source.securityType,
        purchasePlan: source.purchasePlan,
        supportedCapabilities: source.supportedCapabilities,
        diskAccessId: names.diskAccessIdOf(access),
        dataAccessAuthMode: source.dataAccessAuthMode,
        tags: { ...source.tags, [SESSION_TAG]: sessionId },
      }),
    );
    return {};
  },
);

const DISK_STATES = {
  writable: ["ReadyToUpload", "ActiveUpload"],
  sealed: ["Unattached"],
} as const satisfies Record<string, readonly string[]>;

export const readRestoreDisks = defineActivity(
  "read-restore-disks",
  async (context, { sessionId, stage }) => {
    const { disks } = await targetsOf(context, sessionId);
    const wanted: readonly string[] = DISK_STATES[stage];
    for (const { diskId } of disks) {
      const state = await context.compute.readDisk(diskId);
      const readiness = readinessOf(state, diskId);
      if (!readiness.ready) return readiness;
      if (state === undefined || !wanted.includes(state.diskState))
        return { ready: false, waitingFor: `${diskId} to be ${wanted[0]}` };
    }
    return { ready: true };
  },
);

export const startRestoreNics = defineActivity(
  "start-restore-nics",
  async (context, { sessionId }) => {
    await getRunningSession(context, sessionId);
    const { nics, location } = await targetsOf(context, sessionId);
    await mapBounded(nics, CALLS_AT_ONCE, (nic) =>
      context.compute.startNic({ ...nic, location, tags: { [SESSION_TAG]: sessionId } }),
    );
    return {};
  },
);

export const readRestoreNics = defineActivity(
  "read-restore-nics",
  async (context, { sessionId }) => {
    const { nics } = await targetsOf(context, sessionId);
    for (const { nicId } of nics) {
      const readiness = readinessOf(await context.compute.readNicProvisioning(nicId), nicId);
      if (!readiness.ready) return readiness;
    }
    return { ready: true };
  },
);

export const startRestoreVm = defineActivity("start-restore-vm", async (context, { sessionId }) => {
  await getRunningSession(context, sessionId);
  const { point, disks, nics, location, vmResourceId } = await targetsOf(context, sessionId);
  const osDisk = disks.find(({ source }) => source.slot === "os");
  if (osDisk === undefined) throw new HoldfastError("NoOsDisk", `${point.pointId} has no OS disk.`);
  await context.compute.startAttachVm({
    vmResourceId,
    location,
    zones: point.vm.zones,
    vmSize: point.vm.vmSize,
    osDiskId: osDisk.diskId,
    dataDisks: disks.flatMap(({ source, diskId }) =>
      source.slot === "os" ? [] : [{ diskId, lun: source.slot, caching: source.caching }],
    ),
    nicIds: nics.map((nic) => nic.nicId),
    source: point.vm,
    tags: { ...point.vm.tags, [SESSION_TAG]: sessionId },
  });
  return {};
});

export const readRestoreVm = defineActivity("read-restore-vm", async (context, { sessionId }) => {
  const { vmResourceId } = await targetsOf(context, sessionId);
  return readinessOf(await context.compute.readVmProvisioning(vmResourceId), vmResourceId);
});

/** Notes in the session what the restore made. */
export const indexRestore = defineActivity("index-restore", async (context, { sessionId }) => {
  const { vmResourceId } = await targetsOf(context, sessionId);
  const job = await context.records.jobs.get(sessionId);
  const result = job.result?.kind === "restore" ? job.result.disks : undefined;
  await context.records.sessions.update(sessionId, (session) => ({
    ...session,
    restoredVmResourceId: vmResourceId,
    ...(result === undefined ? {} : { restoreDisks: result }),
  }));
  return {};
});

/** Undo of a restore, asked again until all is gone. */
export const deleteRestored = defineActivity("delete-restored", (context, { sessionId }) =>
  removeRestored(context, sessionId),
);

/** Removes what carries the session's tag, and nothing else: the VM first, then NICs and disks. */
export async function removeRestored(context: AppContext, sessionId: string): Promise<Readiness> {
  const { compute } = context;
  const { vmResourceId, nics, disks } = await targetsOf(context, sessionId);
  const vm = await compute.readVm(vmResourceId);
  if (vm !== undefined && vm.tags[SESSION_TAG] === sessionId) {
    await compute.startDeleteVm(vmResourceId);
    return { ready: false, waitingFor: `deletion of ${vmResourceId}` };
  }
  let waitingFor: string | undefined;
  // The same name may be another restore's by now; a listing by tag lags, hence the sweep's later looks.
  const planned = new Set(nics.map(({ nicId }) => nicId.toLowerCase()));
  const { subscriptionId } = resourceGroupOf(vmResourceId);
  for await (const { resourceId } of compute.listOwned(subscriptionId, SESSION_TAG, sessionId)) {
    if (!planned.has(resourceId.toLowerCase())) continue;
    if ((await compute.readNicProvisioning(resourceId)) === undefined) continue;
    await compute.startDeleteNic(resourceId);
    waitingFor = `deletion of ${resourceId}`;
  }
  for (const { diskId } of disks) {
    const disk = await compute.readDisk(diskId);
    if (disk === undefined || disk.tags[SESSION_TAG] !== sessionId) continue;
    await compute.startDeleteDisk(diskId);
    waitingFor = `deletion of ${diskId}`;
  }
  return waitingFor === undefined ? { ready: true } : { ready: false, waitingFor };
}
