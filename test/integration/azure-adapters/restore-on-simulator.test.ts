import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Disk, VirtualMachine } from "@azure/arm-compute";
import { createCompute } from "#azure/compute/compute.ts";
import { createDiskData } from "#azure/disk/disk-data.ts";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import {
  attachBody,
  diskId,
  group,
  quick,
  region,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "../compute/compute-cloud.ts";

/** VMs that a disk alone does not bring back: what the disk says of itself has to come along. */
const signal = new AbortController().signal;
const plan = { name: "hardened", publisher: "vendor", product: "linux" };
let cloud: ComputeCloud;
let port: ComputePort;

beforeAll(async () => {
  cloud = await startComputeCloud();
  const ca = readFileSync(join(cloud.directory, "tls", "ca.pem"), "utf8");
  setDefaultCACertificates([...getCACertificates("default"), ca]);
  port = createCompute({
    credential: cloud.credential,
    resourceManagerUrl: cloud.manager.endpoint,
  });
});
afterAll(async () => cloud?.close());

async function makeSource(
  name: string,
  disk: Partial<Disk>,
  vm: Partial<VirtualMachine>,
): Promise<VmConfiguration> {
  const osDisk = await cloud.client.disks.createOrUpdate(
    group,
    `${name}-os`,
    {
      location: region,
      diskSizeGB: 1,
      osType: "Linux",
      hyperVGeneration: "V2",
      creationData: { createOption: "Empty" },
      ...disk,
    },
    quick,
  );
  const body = attachBody(osDisk.id ?? "", [cloud.nic(`${name}-nic`)]);
  const { diskControllerType } = vm.storageProfile ?? {};
  await cloud.client.virtualMachines.createOrUpdate(
    group,
    name,
    {
      ...body,
      ...vm,
      storageProfile: {
        ...body.storageProfile,
        ...(diskControllerType !== undefined && { diskControllerType }),
      },
    },
    quick,
  );
  const read = await port.readVm(vmId(name));
  if (read === undefined) throw new Error("no VM");
  return read;
}

async function restore(source: VmConfiguration, name: string): Promise<VirtualMachine> {
  const { osDisk } = source;
  const target = diskId(`${name}-os`);
  const diskAccessId = diskId("x").replace("/disks/x", "/diskAccesses/uploads");
  await port.startDiskAccess({ diskAccessId, location: region, tags: {} });
  await port.startUploadDisk({
    diskId: target,
    location: region,
    zones: osDisk.zones,
    sizeBytes: osDisk.sizeBytes,
    skuName: osDisk.skuName,
    osType: osDisk.osType,
    hyperVGeneration: osDisk.hyperVGeneration,
    securityType: osDisk.securityType,
    purchasePlan: osDisk.purchasePlan,
    supportedCapabilities: osDisk.supportedCapabilities,
    diskAccessId,
    tags: {},
  });
  await expect.poll(async () => (await port.readDisk(target))?.diskState).toBe("ReadyToUpload");
  const sas = await port.grantAccess(target, "Write", 600, signal);
  await using writer = createDiskData().openWriter(sas, osDisk.sizeBytes);
  await writer.finish(signal);
  await port.revokeAccess(target, signal);
  await expect.poll(async () => (await port.readDisk(target))?.diskState).toBe("Unattached");
  await port.startAttachVm({
    vmResourceId: vmId(name),
    location: region,
    zones: [],
    vmSize: source.vmSize,
    osDiskId: target,
    dataDisks: [],
    nicIds: [cloud.nic(`${name}-nic`)],
    source,
    tags: {},
  });
  await expect
    .poll(async () => (await port.readVmProvisioning(vmId(name)))?.provisioning)
    .toBe("succeeded");
  return cloud.client.virtualMachines.get(group, name);
}

test("a VM of a marketplace image comes back with its plan", async () => {
  const source = await makeSource("market", { purchasePlan: plan }, { plan });
  expect(await restore(source, "market-restored")).toMatchObject({ plan });
});

test("a VM with Trusted launch comes back with it", async () => {
  const securityProfile = {
    securityType: "TrustedLaunch",
    uefiSettings: { secureBootEnabled: true, vTpmEnabled: true },
  };
  const source = await makeSource(
    "trusted",
    { supportedCapabilities: { supportedSecurityOption: "TrustedLaunchSupported" } },
    { securityProfile },
  );
  expect(await restore(source, "trusted-restored")).toMatchObject({ securityProfile });
});

test("an Arm VM comes back as one", async () => {
  const source = await makeSource(
    "arm",
    { supportedCapabilities: { architecture: "Arm64" } },
    { hardwareProfile: { vmSize: "Standard_D2ps_v5" } },
  );
  await restore(source, "arm-restored");
});

test("a VM with NVMe disks comes back with them", async () => {
  const source = await makeSource(
    "nvme",
    { supportedCapabilities: { diskControllerTypes: "SCSI, NVMe" } },
    {
      hardwareProfile: { vmSize: "Standard_D2s_v6" },
      storageProfile: { diskControllerType: "NVMe" },
    },
  );
  const restored = await restore(source, "nvme-restored");
  expect(restored.storageProfile?.diskControllerType).toBe("NVMe");
});

test("a VM of no security type is not given the one that Azure shows for it", async () => {
  const source = await makeSource("standard", {}, {});
  expect(source.securityProfile?.securityType).toBe("Standard");
  const restored = await restore(source, "standard-restored");
  expect(restored.plan).toBeUndefined();
});
