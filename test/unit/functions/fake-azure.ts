/**
 * Azure in memory, as far as the control plane's ports see it: what was started is there one read
 * later; a live SAS forbids deletion; everything that exists can be counted.
 */
import { HoldfastError } from "#core/lib/errors.ts";
import { RESOURCE_TYPES } from "#core/model/resource-id.ts";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import type {
  ComputePort,
  DiskAccessState,
  DiskSettings,
  RunCommandRequest,
  SnapshotRequest,
  UploadDiskRequest,
  WorkerVmRequest,
} from "#core/ports/compute.ts";
import type { StagingPort } from "#core/ports/staging.ts";
import { createFakeRegion, type FakeRegion } from "./fake-region.ts";

export interface FakeResource {
  readonly id: string;
  readonly type:
    "vm" | "worker" | "disk" | "snapshot" | "nic" | "network" | "account" | "diskAccess";
  readonly tags: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  /** Disk of a snapshot; location of a disk access or worker. */
  readonly sourceId: string;
  reads: number;
  /** Of a disk or snapshot. */
  settings: DiskSettings;
  /** Of a worker: its power state, or why it failed. */
  diskState: string;
}

const AZURE_TYPES: Readonly<Record<FakeResource["type"], string>> = {
  vm: RESOURCE_TYPES.virtualMachine,
  worker: RESOURCE_TYPES.virtualMachine,
  disk: RESOURCE_TYPES.disk,
  snapshot: RESOURCE_TYPES.snapshot,
  nic: RESOURCE_TYPES.networkInterface,
  network: RESOURCE_TYPES.virtualNetwork,
  account: RESOURCE_TYPES.storageAccount,
  diskAccess: RESOURCE_TYPES.diskAccess,
};

export interface FakeAzure {
  readonly compute: ComputePort;
  readonly region: FakeRegion;
  readonly staging: StagingPort;
  readonly resources: Map<string, FakeResource>;
  readonly liveSas: Map<string, string>;
  /** Most exports and uploads that each disk access had at the same time. */
  readonly exportPeaks: Map<string, number>;
  readonly queues: Map<string, string[]>;
  readonly vms: Map<string, VmConfiguration>;
  readonly runCommands: RunCommandRequest[];
  readonly workerRequests: WorkerVmRequest[];
  /** Sizes that there is no room for, by `<size> <priority>`. */
  readonly refusals: Map<string, { readonly code: string; readonly when: "at once" | "later" }>;
  /** Called with each message to a job queue. */
  onMessage: (queueName: string, text: string) => Promise<void>;
  onRunCommand: (request: RunCommandRequest) => Promise<void>;
  ofType(type: FakeResource["type"]): FakeResource[];
}

export function createFakeAzure(): FakeAzure {
  const resources = new Map<string, FakeResource>();
  const liveSas = new Map<string, string>();
  const exportPeaks = new Map<string, number>();
  const queues = new Map<string, string[]>();
  const vms = new Map<string, VmConfiguration>();
  const runCommands: RunCommandRequest[] = [];
  let sasNumber = 0;

  function add(id: string, fields: Partial<FakeResource> & Pick<FakeResource, "type">): void {
    if (resources.has(id)) return;
    const initial = {
      tags: {},
      sizeBytes: 0,
      sourceId: "",
      reads: 0,
      diskState: "Unattached",
      settings: OPEN,
    };
    resources.set(id, { ...initial, ...fields, id });
  }
  function remove(id: string): void {
    if (liveSas.has(id)) throw new HoldfastError("DiskInUse", `${id} has a live SAS`);
    resources.delete(id);
  }
  function read(id: string): FakeResource | undefined {
    const found = resources.get(id);
    if (found !== undefined) found.reads++;
    return found;
  }
  function setPower(id: string, power: "running" | "deallocated"): void {
    const found = resources.get(id);
    if (found === undefined) throw new HoldfastError("ResourceNotFound", id);
    found.diskState = power;
  }
  function demand(id: string): FakeResource {
    const found = resources.get(id);
    if (found === undefined) throw new HoldfastError("ResourceNotFound", id);
    return found;
  }
  /** As Azure does: one more than five is refused. */
  function countExports(diskAccessId: string | undefined): void {
    if (diskAccessId === undefined) throw new HoldfastError("NoDiskAccess", "exported openly");
    const count = [...liveSas.keys()].filter(
      (each) => resources.get(each)?.settings.networkAccess.diskAccessId === diskAccessId,
    ).length;
    exportPeaks.set(diskAccessId, Math.max(count, exportPeaks.get(diskAccessId) ?? 0));
    if (count > 5) throw new HoldfastError("OperationNotAllowed", `${count} on ${diskAccessId}`);
  }
  const provisioning = (found: FakeResource): "pending" | "succeeded" =>
    found.reads > 1 ? "succeeded" : "pending";

  const azure: FakeAzure = {
    resources,
    liveSas,
    exportPeaks,
    queues,
    vms,
    runCommands,
    workerRequests: [],
    refusals: new Map(),
    onMessage: async () => undefined,
    onRunCommand: async () => undefined,
    ofType: (type) => [...resources.values()].filter((each) => each.type === type),
    compute: {
      async *listVms(subscriptionId) {
        for (const vm of vms.values()) {
          if (!vm.resourceId.startsWith(`/subscriptions/${subscriptionId}/`)) continue;
          const { vmId, resourceId, name, location, vmSize, tags } = vm;
          yield { vmId, resourceId, name, location, vmSize, tags, diskCount: 2 };
        }
        // Workers are VMs like others to Azure.
        for (const { id, sourceId, tags } of azure.ofType("worker")) {
          if (!id.startsWith(`/subscriptions/${subscriptionId}/`)) continue;
          const name = id.slice(id.lastIndexOf("/") + 1);
          const vm = { vmId: `vm-${name}`, resourceId: id, name, location: sourceId };
          yield { ...vm, vmSize: "Standard_F4s_v2", tags, diskCount: 1 };
        }
      },
      readVm: async (id) => {
        const made = resources.get(id);
        const [template] = vms.values();
        if (made?.type === "vm" && template !== undefined)
          return { ...template, resourceId: id, tags: made.tags, nics: [] };
        return vms.get(id);
      },
      readVmProvisioning: async (id) => {
        const found = read(id);
        if (found !== undefined) return { provisioning: provisioning(found) };
        return vms.has(id) ? { provisioning: "succeeded" } : undefined;
      },
      startSnapshot: async ({ snapshotId, sourceDiskId, tags, ...asked }) => {
        const disk = [...vms.values()]
          .flatMap((vm) => [vm.osDisk, ...vm.dataDisks])
          .find((each) => each.resourceId === sourceDiskId);
        if (disk === undefined) throw new HoldfastError("DiskNotFound", sourceDiskId);
        add(snapshotId, {
          type: "snapshot",
          tags,
          sizeBytes: disk.sizeBytes,
          sourceId: disk.diskId,
          settings: settingsAsked(asked),
        });
      },
      readSnapshot: async (snapshotId) => {
        const found = read(snapshotId);
        if (found === undefined) return undefined;
        return {
          snapshotId,
          provisioning: provisioning(found),
          completionPercent: 100,
          sizeBytes: found.sizeBytes,
          familyId: `family-${found.sourceId}`,
          sourceDiskUniqueId: found.sourceId,
          createdAt: undefined,
          tags: found.tags,
          location: "westeurope",
          networkAccess: found.settings.networkAccess,
          needsToken: found.settings.dataAccessAuthMode === "AzureActiveDirectory",
        };
      },
      startDeleteSnapshot: async (id) => remove(id),
      startSnapshotAccess: async (id, diskAccessId) => {
        const found = demand(id);
        if (liveSas.has(id)) throw new HoldfastError("OperationNotAllowed", `${id} has a live SAS`);
        found.settings = privateThrough(diskAccessId);
      },
      async *listDiskAccesses(group, tagName, tagValue) {
        for (const { id, sourceId, tags } of azure.ofType("diskAccess")) {
          if (!id.startsWith(`${group}/`) || tags[tagName] !== tagValue) continue;
          yield { ...diskAccessOf(id, sourceId), provisioning: provisioning(demand(id)) };
          demand(id).reads++;
        }
      },
      readDiskAccess: async (id) => {
        const found = read(id);
        return found === undefined ? undefined : diskAccessOf(id, found.sourceId);
      },
      startDiskAccess: async ({ diskAccessId, location, tags }) =>
        add(diskAccessId, { type: "diskAccess", sourceId: location, tags }),
      startDeleteDiskAccess: async (id) => {
        const user = [...resources.values()].find(
          ({ settings }) => settings.networkAccess.diskAccessId === id,
        );
        if (user !== undefined)
          throw new HoldfastError("OperationNotAllowed", `${user.id} names ${id}`);
        remove(id);
      },
      listUsedDiskAccesses: async () =>
        Map.groupBy(
          [...resources.values()].map(({ id }) => id),
          (id) => resources.get(id)?.settings.networkAccess.diskAccessId?.toLowerCase() ?? "",
        ),
      startUploadDisk: async ({ diskId, sizeBytes, tags, ...asked }) => {
        const settings = settingsAsked(asked);
        add(diskId, { type: "disk", sizeBytes, tags, diskState: "ReadyToUpload", settings });
      },
      startDiskSettings: async (id, settings) => {
        if (liveSas.has(id)) throw new HoldfastError("OperationNotAllowed", `${id} has a live SAS`);
        demand(id).settings = settings;
      },
      readDisk: async (diskId) => {
        const found = read(diskId);
        if (found === undefined) return undefined;
        const { diskState, sizeBytes, tags, settings } = found;
        return { diskId, provisioning: provisioning(found), diskState, sizeBytes, tags, settings };
      },
      startDeleteDisk: async (id) => remove(id),
      grantAccess: async (id) => {
        const found = resources.get(id);
        if (found === undefined) throw new HoldfastError("NotFound", `${id} is not there`);
        if (found.diskState === "ReadyToUpload") found.diskState = "ActiveUpload";
        const sas = `https://md.example/${++sasNumber}?sig=secret${sasNumber}`;
        liveSas.set(id, sas);
        countExports(found.settings.networkAccess.diskAccessId);
        return sas;
      },
      revokeAccess: async (id) => {
        liveSas.delete(id);
        const found = resources.get(id);
        if (found?.diskState === "ActiveUpload") found.diskState = "Unattached";
      },
      startNic: async ({ nicId, tags }) => add(nicId, { type: "nic", tags }),
      startDeleteNic: async (id) => remove(id),
      readNicProvisioning: async (id) => {
        const found = read(id);
        return found === undefined ? undefined : { provisioning: provisioning(found) };
      },
      startAttachVm: async ({ vmResourceId, tags }) => add(vmResourceId, { type: "vm", tags }),
      startWorkerVm: async (request) => {
        azure.workerRequests.push(request);
        const refusal = azure.refusals.get(`${request.vmSize} ${request.priority}`);
        if (refusal !== undefined && refusal.when === "at once")
          throw new HoldfastError(refusal.code, `no ${request.vmSize} here`);
        const diskState = refusal === undefined ? "running" : `failed/${refusal.code}`;
        const { tags, location: sourceId } = request;
        add(request.vmResourceId, { type: "worker", tags, sourceId, diskState });
      },
      readWorkerVm: async (id) => {
        const found = read(id);
        if (found === undefined) return undefined;
        const { diskState } = found;
        const failureCode = diskState.startsWith("failed/") ? diskState.slice(7) : undefined;
        const power = failureCode === undefined ? (diskState as "running") : "unknown";
        return { provisioning: provisioning(found), power, failureCode };
      },
      startDeallocateVm: async (id) => setPower(id, "deallocated"),
      startPowerOnVm: async (id) => setPower(id, "running"),
      startDeleteVm: async (id) => {
        if (resources.get(id)?.type === "worker") resources.delete(nicOf(id));
        remove(id);
      },
      startRunCommand: async (request) => {
        runCommands.push(request);
        await azure.onRunCommand(request);
      },
      readRunCommand: async () => ({
        executionState: "Succeeded",
        exitCode: 0,
        output: "",
        error: "",
      }),
      async *listOwned(_subscriptionId, tagName, tagValue) {
        for (const { id, type, tags } of resources.values()) {
          if (tags[tagName] !== tagValue) continue;
          yield { resourceId: id, type: AZURE_TYPES[type], tags };
        }
      },
    },
    region: createFakeRegion(),
    staging: {
      ensureBundle: async () => "https://staging.blob.example/holdfast/bundle?sig=bundlesecret",
      ensureQueue: async (_url, name) => {
        if (!queues.has(name)) queues.set(name, []);
      },
      deleteQueue: async (_url, name) => {
        queues.delete(name);
      },
      sendMessage: async (_url, name, text) => {
        queues.get(name)?.push(text);
        await azure.onMessage(name, text);
      },
      writeJobBlob: async () => undefined,
      deleteJobBlobs: async () => undefined,
      ensureContainer: async () => undefined,
    },
  };
  return azure;
}

const OPEN: DiskSettings = { networkAccess: { policy: "AllowAll", publicAccess: true } };

function settingsAsked({
  diskAccessId,
  dataAccessAuthMode,
}: Pick<SnapshotRequest | UploadDiskRequest, "diskAccessId" | "dataAccessAuthMode">): DiskSettings {
  return { ...privateThrough(diskAccessId), dataAccessAuthMode };
}

function privateThrough(diskAccessId: string): DiskSettings {
  return { networkAccess: { policy: "AllowPrivate", publicAccess: false, diskAccessId } };
}

function diskAccessOf(diskAccessId: string, location: string): DiskAccessState {
  const name = diskAccessId.slice(diskAccessId.lastIndexOf("/") + 1);
  return { diskAccessId, name, location, provisioning: "succeeded" };
}

function nicOf(vmResourceId: string): string {
  const name = vmResourceId.slice(vmResourceId.lastIndexOf("/") + 1);
  return `${vmResourceId.replace(/\/providers\/.*$/, "")}/providers/Microsoft.Network/networkInterfaces/${name}-nic`;
}
