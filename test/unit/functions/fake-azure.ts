/**
 * Azure in memory, as far as the control plane's ports see it: what was started is there one read
 * later; a live SAS forbids deletion; everything that exists can be counted.
 */
import { HoldfastError } from "#core/lib/errors.ts";
import { RESOURCE_TYPES } from "#core/model/resource-id.ts";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import type { ComputePort, RunCommandRequest } from "#core/ports/compute.ts";
import type { RegionPort } from "#core/ports/region.ts";
import type { StagingPort } from "#core/ports/staging.ts";

export interface FakeResource {
  readonly id: string;
  readonly type: "vm" | "worker" | "disk" | "snapshot" | "nic" | "network" | "account";
  readonly tags: Readonly<Record<string, string>>;
  readonly sizeBytes: number;
  readonly sourceId: string;
  reads: number;
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
};

export interface FakeAzure {
  readonly compute: ComputePort;
  readonly region: RegionPort;
  readonly staging: StagingPort;
  readonly resources: Map<string, FakeResource>;
  readonly liveSas: Map<string, string>;
  readonly queues: Map<string, string[]>;
  readonly vms: Map<string, VmConfiguration>;
  readonly runCommands: RunCommandRequest[];
  /** Called with each message to a job queue. */
  onMessage: (queueName: string, text: string) => Promise<void>;
  onRunCommand: (request: RunCommandRequest) => Promise<void>;
  ofType(type: FakeResource["type"]): FakeResource[];
}

export function createFakeAzure(): FakeAzure {
  const resources = new Map<string, FakeResource>();
  const liveSas = new Map<string, string>();
  const queues = new Map<string, string[]>();
  const vms = new Map<string, VmConfiguration>();
  const runCommands: RunCommandRequest[] = [];
  let sasNumber = 0;

  function add(id: string, fields: Partial<FakeResource> & Pick<FakeResource, "type">): void {
    if (resources.has(id)) return;
    const initial = { tags: {}, sizeBytes: 0, sourceId: "", reads: 0, diskState: "Unattached" };
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
  const provisioning = (found: FakeResource): "pending" | "succeeded" =>
    found.reads > 1 ? "succeeded" : "pending";

  const azure: FakeAzure = {
    resources,
    liveSas,
    queues,
    vms,
    runCommands,
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
      startSnapshot: async ({ snapshotId, sourceDiskId, tags }) => {
        const disk = [...vms.values()]
          .flatMap((vm) => [vm.osDisk, ...vm.dataDisks])
          .find((each) => each.resourceId === sourceDiskId);
        if (disk === undefined) throw new HoldfastError("DiskNotFound", sourceDiskId);
        add(snapshotId, {
          type: "snapshot",
          tags,
          sizeBytes: disk.sizeBytes,
          sourceId: disk.diskId,
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
        };
      },
      startDeleteSnapshot: async (id) => remove(id),
      startUploadDisk: async ({ diskId, sizeBytes, tags }) =>
        add(diskId, { type: "disk", sizeBytes, tags, diskState: "ReadyToUpload" }),
      readDisk: async (diskId) => {
        const found = read(diskId);
        if (found === undefined) return undefined;
        const { diskState, sizeBytes, tags } = found;
        return { diskId, provisioning: provisioning(found), diskState, sizeBytes, tags };
      },
      startDeleteDisk: async (id) => remove(id),
      grantAccess: async (id) => {
        const found = resources.get(id);
        if (found === undefined) throw new HoldfastError("NotFound", `${id} is not there`);
        if (found.diskState === "ReadyToUpload") found.diskState = "ActiveUpload";
        const sas = `https://md.example/${++sasNumber}?sig=secret${sasNumber}`;
        liveSas.set(id, sas);
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
      startWorkerVm: async ({ vmResourceId, tags }) => add(vmResourceId, { type: "worker", tags }),
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
    region: {
      readNetwork: async (virtualNetworkId, subnetName) => {
        const found = read(virtualNetworkId);
        if (found === undefined) return undefined;
        return {
          virtualNetworkId,
          subnetId: `${virtualNetworkId}/subnets/${subnetName}`,
          addressPrefix: found.sourceId,
          provisioning: provisioning(found),
        };
      },
      startNetwork: async ({ virtualNetworkId, addressPrefix, tags }) =>
        add(virtualNetworkId, { type: "network", sourceId: addressPrefix, tags }),
      findStagingAccount: async (_group, location) => {
        const [account] = azure.ofType("account").filter((each) => each.sourceId === location);
        if (account === undefined) return undefined;
        account.reads++;
        return {
          accountId: account.id,
          name: "staging",
          location,
          provisioning: provisioning(account),
          blobServiceUrl: "https://staging.blob.example/",
          queueServiceUrl: "https://staging.queue.example/",
        };
      },
      startStagingAccount: async ({ accountId, location, tags }) =>
        add(accountId, { type: "account", sourceId: location, tags }),
    },
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

function nicOf(vmResourceId: string): string {
  const name = vmResourceId.slice(vmResourceId.lastIndexOf("/") + 1);
  return `${vmResourceId.replace(/\/providers\/.*$/, "")}/providers/Microsoft.Network/networkInterfaces/${name}-nic`;
}
