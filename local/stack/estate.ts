/**
 * The sample estate: virtual machines made from images, what their guests write, and what exists.
 * Requests go through Resource Manager like anyone's; only bytes (a guest's writes, an export to a
 * file) are asked of the disk service.
 */
import { open, truncate } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import type { DiskService, ResourceKey } from "#local/disks/disk-service.ts";
import type { ArmClient } from "./arm-client.ts";
import type { DiskRow, VerbInput, VmRow } from "./control-protocol.ts";
import { ensureSampleSubnet, type Deployment } from "./deployment.ts";
import { exactSizeOf, imageSizeTag, readImageSize, withDiskSizedFile } from "./disk-image.ts";

const computeApiVersion = "2026-04-01";
const diskApiVersion = "2026-03-02";
const networkApiVersion = "2024-05-01";
/** By the most data disks that they take. */
const sampleVmSizes = [
  [4, "Standard_B2s"],
  [8, "Standard_D2s_v6"],
  [16, "Standard_D8s_v5"],
] as const;
const sectorSizeBytes = 512;
const copySizeBytes = 4 * 1024 * 1024;

export interface EstateOptions {
  readonly arm: ArmClient;
  /** The subscription, and the group where machines are made. */
  readonly deployment: Pick<Deployment, "subscriptionId" | "workloadResourceGroupId">;
  readonly disks: DiskService;
  /** Lets Resource Manager import this `file:` URI. */
  readonly offerFile: (uri: string) => void;
  /** Evicts a Spot VM by its resource id. */
  readonly evict: (vmId: string) => Promise<void>;
}

const tagsSchema = z.record(z.string(), z.string()).default({});
const diskSchema = z.object({
  id: z.string(),
  name: z.string(),
  location: z.string(),
  managedBy: z.string().optional(),
  tags: tagsSchema,
  properties: z.object({ diskSizeBytes: z.number().default(0), diskState: z.string() }),
});
type Disk = z.infer<typeof diskSchema>;

const diskReferenceSchema = z.object({ managedDisk: z.object({ id: z.string() }).optional() });
const vmSchema = z.object({
  id: z.string(),
  name: z.string(),
  location: z.string(),
  tags: tagsSchema,
  properties: z.object({
    vmId: z.string(),
    provisioningState: z.string(),
    storageProfile: z.object({
      osDisk: diskReferenceSchema,
      dataDisks: z.array(diskReferenceSchema.extend({ lun: z.number() })).default([]),
    }),
    networkProfile: z
      .object({ networkInterfaces: z.array(z.object({ id: z.string() })).default([]) })
      .default({ networkInterfaces: [] }),
  }),
});
type Vm = z.infer<typeof vmSchema>;

export class Estate {
  readonly #options: EstateOptions;

  constructor(options: EstateOptions) {
    this.#options = options;
  }

  async createVm(wanted: VerbInput<"createVm">): Promise<VmRow> {
    const existing = (await this.#vms()).find((vm) => vm.name === wanted.name);
    if (existing !== undefined) throw new Error(`There is a VM ${wanted.name} already.`);
    // Before anything is made.
    for (const file of [wanted.osDisk, ...wanted.dataDisks]) await readImageSize(file);
    const nicId = await this.#createNic(wanted);
    const osDiskId = await this.#importDisk(wanted, `${wanted.name}-os`, wanted.osDisk);
    const dataDiskIds: string[] = [];
    for (const [lun, file] of wanted.dataDisks.entries()) {
      dataDiskIds.push(await this.#importDisk(wanted, `${wanted.name}-data-${lun}`, file));
    }
    const attached = { createOption: "Attach", deleteOption: "Delete" };
    await this.#put(this.#id(`Microsoft.Compute/virtualMachines/${wanted.name}`), {
      apiVersion: computeApiVersion,
      body: {
        location: wanted.region,
        tags: wanted.tags,
        properties: {
          hardwareProfile: { vmSize: sampleVmSizeFor(wanted.dataDisks.length) },
          storageProfile: {
            osDisk: {
              ...attached,
              osType: "Linux",
              caching: "ReadWrite",
              managedDisk: { id: osDiskId },
            },
            dataDisks: dataDiskIds.map((id, lun) => ({
              ...attached,
              lun,
              caching: "ReadOnly",
              managedDisk: { id },
            })),
          },
          networkProfile: {
            networkInterfaces: [
              { id: nicId, properties: { deleteOption: "Delete", primary: true } },
            ],
          },
        },
      },
    });
    return this.#readVm(wanted.name);
  }

  async deleteVm(name: string): Promise<void> {
    const vm = (await this.#vms()).find((candidate) => candidate.name === name);
    if (vm === undefined) throw new Error(`There is no VM ${name}.`);
    const { arm } = this.#options;
    const diskIds = diskIdsOf(vm);
    await arm.request({ method: "DELETE", path: vm.id, apiVersion: computeApiVersion });
    // What was not created with `deleteOption: Delete` is left, e.g. disks of restored machines.
    const left = new Set((await this.#disks()).map(({ id }) => id.toLowerCase()));
    for (const id of diskIds.filter((candidate) => left.has(candidate.toLowerCase()))) {
      await arm.request({ method: "DELETE", path: id, apiVersion: diskApiVersion });
    }
    for (const { id } of vm.properties.networkProfile.networkInterfaces) {
      await arm.request({ method: "DELETE", path: id, apiVersion: networkApiVersion });
    }
  }

  /** Throws when there is no such VM, or it is no Spot VM. */
  async evictVm(name: string): Promise<void> {
    const vm = (await this.#vms()).find((candidate) => candidate.name === name);
    if (vm === undefined) throw new Error(`There is no VM ${name}.`);
    await this.#options.evict(vm.id);
  }

  async listVms(): Promise<VmRow[]> {
    const disks = await this.#disks();
    return (await this.#vms()).map((vm) => rowOf(vm, disks));
  }

  async listDisks(): Promise<DiskRow[]> {
    return (await this.#disks()).map((disk) => ({
      name: disk.name,
      resourceId: disk.id,
      region: disk.location,
      sizeBytes: disk.properties.diskSizeBytes,
      state: disk.properties.diskState,
      vm: disk.managedBy?.slice(disk.managedBy.lastIndexOf("/") + 1),
    }));
  }

  /** Writes a file's bytes as a guest does: whole sectors, the rest of the last ones kept. */
  async writeDisk(wanted: VerbInput<"writeDisk">): Promise<{ writtenBytes: number }> {
    const id = (await this.#findDisk(wanted.disk)).id.toLowerCase();
    const { disks } = this.#options;
    const handle = await open(wanted.file, "r");
    let writtenBytes = 0;
    try {
      const piece = Buffer.alloc(copySizeBytes);
      for (;;) {
        const { bytesRead } = await handle.read(piece, 0, copySizeBytes, writtenBytes);
        if (bytesRead === 0) return { writtenBytes };
        const offset = wanted.offsetBytes + writtenBytes;
        const start = Math.floor(offset / sectorSizeBytes) * sectorSizeBytes;
        const end = Math.ceil((offset + bytesRead) / sectorSizeBytes) * sectorSizeBytes;
        const sectors = Buffer.from(await disks.guestRead(id, start, end - start));
        piece.copy(sectors, offset - start, 0, bytesRead);
        await disks.guestWrite(id, start, sectors);
        writtenBytes += bytesRead;
      }
    } finally {
      await handle.close();
    }
  }

  /** A file with the disk's bytes; without the zeros that an image was filled up with. */
  async exportDisk(wanted: VerbInput<"exportDisk">): Promise<{ sizeBytes: number }> {
    const disk = await this.#findDisk(wanted.disk);
    await this.#exportBytes({ kind: "disk", id: disk.id.toLowerCase() }, wanted.out);
    const sizeBytes = await exactSizeOf(wanted.out, {
      sizeBytes: disk.properties.diskSizeBytes,
      tag: disk.tags[imageSizeTag],
    });
    await truncate(wanted.out, sizeBytes);
    return { sizeBytes };
  }

  async #exportBytes(source: ResourceKey, file: string): Promise<void> {
    await this.#options.disks.exportToFile({ source, file });
  }

  async #findDisk(name: string): Promise<Disk> {
    const wanted = name.toLowerCase();
    const found = (await this.#disks()).filter(
      (disk) => disk.name.toLowerCase() === wanted || disk.id.toLowerCase() === wanted,
    );
    const [disk] = found;
    if (disk === undefined) throw new Error(`There is no disk ${name}.`);
    if (found.length > 1) throw new Error(`${found.length} disks are named ${name}: give the id.`);
    return disk;
  }

  async #importDisk(wanted: VerbInput<"createVm">, name: string, image: string): Promise<string> {
    const id = this.#id(`Microsoft.Compute/disks/${name}`);
    const imageSizeBytes = await readImageSize(image);
    await withDiskSizedFile(image, async (file) => {
      const uri = pathToFileURL(file).href;
      this.#options.offerFile(uri);
      await this.#put(id, {
        apiVersion: diskApiVersion,
        body: {
          location: wanted.region,
          sku: { name: "StandardSSD_LRS" },
          tags: { [imageSizeTag]: String(imageSizeBytes) },
          properties: {
            osType: name.endsWith("-os") ? "Linux" : undefined,
            hyperVGeneration: name.endsWith("-os") ? "V2" : undefined,
            creationData: { createOption: "Import", sourceUri: uri },
          },
        },
      });
    });
    return id;
  }

  async #createNic(wanted: VerbInput<"createVm">): Promise<string> {
    const subnetId = await ensureSampleSubnet(
      this.#options.arm,
      this.#options.deployment.workloadResourceGroupId,
      wanted.region,
    );
    const id = this.#id(`Microsoft.Network/networkInterfaces/${wanted.name}-nic`);
    const configuration = {
      name: "primary",
      properties: {
        primary: true,
        privateIPAllocationMethod: "Dynamic",
        subnet: { id: subnetId },
      },
    };
    await this.#put(id, {
      apiVersion: networkApiVersion,
      body: { location: wanted.region, properties: { ipConfigurations: [configuration] } },
    });
    return id;
  }

  async #put(path: string, { apiVersion, body }: { apiVersion: string; body: unknown }) {
    await this.#options.arm.request({ method: "PUT", path, apiVersion, body });
  }

  async #readVm(name: string): Promise<VmRow> {
    const found = (await this.listVms()).find((vm) => vm.name === name);
    if (found === undefined) throw new Error(`The VM ${name} was made and is not there.`);
    return found;
  }

  async #vms(): Promise<Vm[]> {
    const type = "Microsoft.Compute/virtualMachines";
    return z.array(vmSchema).parse(await this.#list(type, computeApiVersion));
  }

  async #disks(): Promise<Disk[]> {
    return z.array(diskSchema).parse(await this.#list("Microsoft.Compute/disks", diskApiVersion));
  }

  async #list(type: string, apiVersion: string): Promise<unknown[]> {
    const { arm, deployment } = this.#options;
    return arm.list(`/subscriptions/${deployment.subscriptionId}/providers/${type}`, apiVersion);
  }

  #id(typeAndName: string): string {
    return `${this.#options.deployment.workloadResourceGroupId}/providers/${typeAndName}`;
  }
}

function sampleVmSizeFor(dataDiskCount: number): string {
  const found = sampleVmSizes.find(([most]) => dataDiskCount <= most);
  if (found === undefined)
    throw new Error(`A sample VM takes 16 data disks, not ${dataDiskCount}.`);
  return found[1];
}

function diskIdsOf(vm: Vm): string[] {
  const { osDisk, dataDisks } = vm.properties.storageProfile;
  return [osDisk, ...dataDisks].flatMap(({ managedDisk }) => managedDisk?.id ?? []);
}

function rowOf(vm: Vm, disks: readonly Disk[]): VmRow {
  const { osDisk, dataDisks } = vm.properties.storageProfile;
  const slots = [
    { slot: "os", id: osDisk.managedDisk?.id },
    ...dataDisks.map(({ lun, managedDisk }) => ({ slot: `lun ${lun}`, id: managedDisk?.id })),
  ];
  return {
    name: vm.name,
    vmId: vm.properties.vmId,
    resourceId: vm.id,
    region: vm.location,
    state: vm.properties.provisioningState,
    tags: vm.tags,
    disks: slots.flatMap(({ slot, id }) => {
      const disk = disks.find((candidate) => candidate.id.toLowerCase() === id?.toLowerCase());
      return disk === undefined ? [] : [{ slot, ...diskPartOf(disk) }];
    }),
  };
}

function diskPartOf(disk: Disk): Omit<VmRow["disks"][number], "slot"> {
  const tag = disk.tags[imageSizeTag];
  return {
    name: disk.name,
    sizeBytes: disk.properties.diskSizeBytes,
    ...(tag === undefined ? {} : { imageSizeBytes: Number(tag) }),
  };
}
