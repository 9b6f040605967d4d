import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createCompute } from "#azure/compute/compute.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import { ScriptedResourceManager, group, subscriptionId } from "../scripted-resource-manager.ts";

const compute = `${group}/providers/Microsoft.Compute`;
const network = `${group}/providers/Microsoft.Network`;
const vmId = `${compute}/virtualMachines/v1`;
const identityId = `${group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i`;
const subnetId = `${network}/virtualNetworks/net/subnets/default`;

const vmAnswer = {
  id: vmId,
  name: "v1",
  location: "westeurope",
  zones: ["1"],
  tags: { app: "x" },
  plan: { name: "p", product: "q", publisher: "r" },
  identity: { type: "UserAssigned", userAssignedIdentities: { [identityId]: {} } },
  resources: [{ id: `${vmId}/extensions/Agent`, location: "westeurope" }],
  properties: {
    vmId: "vm-guid",
    provisioningState: "Succeeded",
    hardwareProfile: { vmSize: "Standard_D2s_v5" },
    storageProfile: {
      diskControllerType: "NVMe",
      osDisk: {
        createOption: "FromImage",
        caching: "ReadWrite",
        deleteOption: "Delete",
        // Azure changes the case of ids now and then.
        managedDisk: { id: `${compute.toUpperCase()}/disks/OS` },
      },
      dataDisks: [
        { lun: 3, createOption: "Attach", managedDisk: { id: `${compute}/disks/data` } },
        {
          lun: 0,
          createOption: "Attach",
          caching: "ReadOnly",
          deleteOption: "Delete",
          managedDisk: { id: `${compute}/disks/logs` },
        },
      ],
    },
    networkProfile: { networkInterfaces: [{ id: `${network}/networkInterfaces/n1` }] },
    securityProfile: {
      securityType: "TrustedLaunch",
      uefiSettings: { secureBootEnabled: true, vTpmEnabled: true },
    },
    licenseType: "RHEL_BYOS",
    diagnosticsProfile: { bootDiagnostics: { enabled: true } },
  },
};

function diskAnswer(name: string, properties: object) {
  return {
    status: 200,
    body: {
      id: `${compute}/disks/${name}`,
      name,
      location: "westeurope",
      zones: ["1"],
      sku: { name: "Premium_LRS" },
      properties: { uniqueId: `unique-${name}`, diskSizeBytes: 1024 ** 3, ...properties },
    },
  };
}

let manager: ScriptedResourceManager;
let port: ComputePort;

beforeAll(async () => {
  manager = await ScriptedResourceManager.start();
  port = createCompute(manager.options);
});
beforeEach(() => {
  manager.reset();
  manager.answer(`GET ${vmId}`, { status: 200, body: vmAnswer });
  const security = { securityType: "TrustedLaunch" };
  const os = { osType: "Linux", hyperVGeneration: "V2", securityProfile: security };
  manager.answer(`GET ${compute}/disks/os`, diskAnswer("os", os));
  manager.answer(`GET ${compute}/disks/data`, diskAnswer("data", {}));
  manager.answer(`GET ${compute}/disks/logs`, diskAnswer("logs", {}));
  manager.answer(`GET ${network}/networkInterfaces/n1`, {
    status: 200,
    body: {
      id: `${network}/networkInterfaces/n1`,
      name: "n1",
      location: "westeurope",
      properties: {
        enableAcceleratedNetworking: true,
        networkSecurityGroup: { id: "nsg" },
        ipConfigurations: [
          {
            name: "ip",
            properties: {
              primary: true,
              subnet: { id: subnetId },
              privateIPAddress: "10.0.0.4",
              privateIPAllocationMethod: "Static",
            },
          },
        ],
      },
    },
  });
});
afterAll(async () => {
  await manager?.[Symbol.asyncDispose]();
});

async function readVm() {
  const vm = await port.readVm(vmId);
  if (vm === undefined) throw new Error("no VM");
  return vm;
}

test("reads a VM with its disks and NICs", async () => {
  const vm = await readVm();
  expect(vm).toMatchObject({
    vmId: "vm-guid",
    zones: ["1"],
    tags: { app: "x" },
    identity: { type: "UserAssigned", userAssignedIdentityIds: [identityId] },
    plan: { name: "p", product: "q", publisher: "r" },
    securityProfile: { securityType: "TrustedLaunch", secureBootEnabled: true, vTpmEnabled: true },
    licenseType: "RHEL_BYOS",
    diskControllerType: "NVMe",
    bootDiagnosticsEnabled: true,
    extensionNames: ["Agent"],
  });
  expect(vm.osDisk).toMatchObject({
    diskId: "unique-os",
    slot: "os",
    osType: "Linux",
    hyperVGeneration: "V2",
    securityType: "TrustedLaunch",
    deleteOption: "Delete",
    sizeBytes: 1024 ** 3,
  });
  expect(vm.dataDisks.map(({ slot, name, caching }) => [slot, name, caching])).toEqual([
    [0, "logs", "ReadOnly"],
    [3, "data", "None"],
  ]);
  expect(vm.nics).toMatchObject([
    {
      primary: true,
      enableAcceleratedNetworking: true,
      networkSecurityGroupId: "nsg",
      ipConfigurations: [{ subnetId, privateIPAddress: "10.0.0.4" }],
    },
  ]);
});

test.each<[string, object, RegExp]>([
  [
    "of type UltraSSD_LRS",
    { sku: { name: "UltraSSD_LRS" } },
    /disk os: it is of type UltraSSD_LRS/,
  ],
  [
    "encrypted inside the guest",
    { properties: { encryptionSettingsCollection: { enabled: true, encryptionSettings: [] } } },
    /Azure Disk Encryption/,
  ],
  ["shared", { properties: { maxShares: 2 } }, /shared between VMs/],
  [
    "of a confidential VM",
    {
      properties: {
        securityProfile: {
          securityType: "ConfidentialVM_VMGuestStateOnlyEncryptedWithPlatformKey",
        },
      },
    },
    /confidential/,
  ],
])("a VM with a disk %s is refused with the reason", async (_, disk, reason) => {
  const { status, body } = diskAnswer("os", {});
  const { properties = {}, ...rest }: { properties?: object } = disk;
  const merged = { ...body, ...rest, properties: { ...body.properties, ...properties } };
  manager.answer(`GET ${compute}/disks/os`, { status, body: merged });
  await expect(readVm()).rejects.toMatchObject({
    code: "UnsupportedVm",
    retry: "never",
    message: expect.stringMatching(reason),
  });
});

test("a VM whose OS disk is ephemeral or that is confidential is refused", async () => {
  const { storageProfile } = vmAnswer.properties;
  const osDisk = { ...storageProfile.osDisk, diffDiskSettings: { option: "Local" } };
  const answer = (properties: object) => {
    const body = { ...vmAnswer, properties: { ...vmAnswer.properties, ...properties } };
    manager.answer(`GET ${vmId}`, { status: 200, body });
  };
  answer({ storageProfile: { ...storageProfile, osDisk } });
  await expect(readVm()).rejects.toMatchObject({ message: expect.stringMatching(/ephemeral/) });
  answer({ securityProfile: { securityType: "ConfidentialVM" } });
  await expect(readVm()).rejects.toMatchObject({ message: expect.stringMatching(/confidential/) });
});

test("an OS disk that says little takes type, plan and security of its VM", async () => {
  const { storageProfile } = vmAnswer.properties;
  const osDisk = { ...storageProfile.osDisk, osType: "Linux" };
  const properties = { ...vmAnswer.properties, storageProfile: { ...storageProfile, osDisk } };
  manager.answer(`GET ${vmId}`, { status: 200, body: { ...vmAnswer, properties } });
  const supportedCapabilities = { architecture: "x64", diskControllerTypes: "SCSI, NVMe" };
  manager.answer(`GET ${compute}/disks/os`, diskAnswer("os", { supportedCapabilities }));
  const vm = await readVm();
  expect(vm.osDisk).toMatchObject({
    osType: "Linux",
    purchasePlan: { name: "p", product: "q", publisher: "r" },
    securityType: "TrustedLaunch",
    supportedCapabilities,
  });
  expect(vm.dataDisks.every((disk) => disk.purchasePlan === undefined)).toBe(true);
});

test("a VM that is missing is undefined, one that changes meanwhile is read again later", async () => {
  expect(await port.readVm(`${compute}/virtualMachines/none`)).toBeUndefined();
  manager.answer(`GET ${compute}/disks/data`, { status: 404, body: {} });
  await expect(readVm()).rejects.toMatchObject({ code: "VmChanged", retry: "backoff" });
});

test("a VM with an unmanaged disk cannot be protected", async () => {
  const osDisk = { createOption: "FromImage", vhd: { uri: "https://x.test/v.vhd" } };
  const properties = { ...vmAnswer.properties, storageProfile: { osDisk } };
  manager.answer(`GET ${vmId}`, { status: 200, body: { ...vmAnswer, properties } });
  await expect(readVm()).rejects.toMatchObject({ code: "UnsupportedVm", retry: "never" });
});

test("lists all VMs with the number of their disks", async () => {
  const list = `/subscriptions/${subscriptionId}/providers/Microsoft.Compute/virtualMachines`;
  manager.answer(`GET ${list}`, { status: 200, body: { value: [vmAnswer] } });
  const found: unknown[] = [];
  for await (const vm of port.listVms(subscriptionId)) found.push(vm);
  expect(found).toMatchObject([{ vmId: "vm-guid", name: "v1", diskCount: 3, tags: { app: "x" } }]);
});

test("a restored VM is made of its disks and takes over what the source had", async () => {
  const source = await readVm();
  const target = `${compute}/virtualMachines/restored`;
  manager.answer(`PUT ${target}`, { status: 201, body: {} });
  await port.startAttachVm({
    vmResourceId: target,
    location: "westeurope",
    zones: ["1"],
    vmSize: "Standard_D2s_v5",
    osDiskId: `${compute}/disks/new-os`,
    dataDisks: [{ diskId: `${compute}/disks/new-logs`, lun: 0, caching: "ReadOnly" }],
    nicIds: [`${network}/networkInterfaces/new`],
    source,
    tags: { restored: "yes" },
  });
  const [put] = manager.sent("PUT");
  expect(put?.body).toMatchObject({
    tags: { restored: "yes" },
    zones: ["1"],
    plan: vmAnswer.plan,
    identity: { type: "UserAssigned", userAssignedIdentities: { [identityId]: {} } },
  });
  expect(put?.body?.properties).toEqual({
    hardwareProfile: { vmSize: "Standard_D2s_v5" },
    storageProfile: {
      diskControllerType: "NVMe",
      osDisk: {
        createOption: "Attach",
        osType: "Linux",
        caching: "ReadWrite",
        deleteOption: "Delete",
        managedDisk: { id: `${compute}/disks/new-os` },
      },
      dataDisks: [
        {
          createOption: "Attach",
          lun: 0,
          caching: "ReadOnly",
          deleteOption: "Delete",
          managedDisk: { id: `${compute}/disks/new-logs` },
        },
      ],
    },
    networkProfile: {
      networkInterfaces: [
        {
          id: `${network}/networkInterfaces/new`,
          properties: { primary: true, deleteOption: "Detach" },
        },
      ],
    },
    securityProfile: vmAnswer.properties.securityProfile,
    licenseType: "RHEL_BYOS",
    diagnosticsProfile: { bootDiagnostics: { enabled: true } },
  });
});

const workerRequest = {
  vmResourceId: `${compute}/virtualMachines/worker`,
  nicId: `${network}/networkInterfaces/worker`,
  location: "westeurope",
  vmSize: "Standard_F4s_v2",
  image: { kind: "marketplace", urn: "Canonical:ubuntu-24_04-lts:server:24.04.202611010" },
  priority: "regular",
  osDisk: "managed",
  identityResourceId: identityId,
  tags: {},
} as const;

test("a worker has a pinned image, no password, and takes its disk and NIC with it", async () => {
  manager.answer(`PUT ${workerRequest.vmResourceId}`, { status: 201, body: {} });
  await port.startWorkerVm(workerRequest);
  const [put] = manager.sent("PUT");
  expect(put?.body?.properties).toMatchObject({
    storageProfile: {
      imageReference: { publisher: "Canonical", version: "24.04.202611010" },
      osDisk: { createOption: "FromImage", deleteOption: "Delete" },
    },
    osProfile: {
      linuxConfiguration: {
        disablePasswordAuthentication: true,
        provisionVMAgent: true,
        patchSettings: { patchMode: "ImageDefault" },
        ssh: {
          publicKeys: [{ keyData: expect.stringMatching(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/) }],
        },
      },
    },
    networkProfile: { networkInterfaces: [{ properties: { deleteOption: "Delete" } }] },
    securityProfile: { securityType: "TrustedLaunch" },
    diagnosticsProfile: { bootDiagnostics: { enabled: false } },
  });
  expect(JSON.stringify(put?.body)).not.toMatch(/adminPassword|publicIP/i);

  manager.answer(`GET ${workerRequest.vmResourceId}`, { status: 200, body: vmAnswer });
  await port.startWorkerVm(workerRequest);
  expect(manager.sent("PUT")).toHaveLength(1);
});

test("a spot worker is deleted when it is evicted, and its OS disk is local where it may be", async () => {
  manager.answer(`PUT ${workerRequest.vmResourceId}`, { status: 201, body: {} });
  await port.startWorkerVm({ ...workerRequest, priority: "spot", osDisk: "ephemeral" });
  expect(manager.sent("PUT")[0]?.body?.properties).toMatchObject({
    priority: "Spot",
    evictionPolicy: "Delete",
    billingProfile: { maxPrice: -1 },
    storageProfile: {
      osDisk: {
        name: "worker-os",
        caching: "ReadOnly",
        diffDiskSettings: { option: "Local", placement: "CacheDisk" },
      },
    },
  });
});

test("a worker comes from a gallery image, on a disk of a disk encryption set", async () => {
  manager.answer(`PUT ${workerRequest.vmResourceId}`, { status: 201, body: {} });
  const imageId = `${compute}/galleries/g/images/worker/versions/1.0.0`;
  const diskEncryptionSetId = `${compute}/diskEncryptionSets/own`;
  const image = { kind: "gallery", imageId } as const;
  await port.startWorkerVm({ ...workerRequest, image, diskEncryptionSetId });
  expect(manager.sent("PUT")[0]?.body?.properties).toMatchObject({
    storageProfile: {
      imageReference: { id: imageId },
      osDisk: { managedDisk: { diskEncryptionSet: { id: diskEncryptionSetId } } },
    },
  });
});

test.each([
  [
    ["ProvisioningState/succeeded", "PowerState/deallocated"],
    "succeeded",
    "deallocated",
    undefined,
  ],
  [["ProvisioningState/failed/AllocationFailed"], "failed", "unknown", "AllocationFailed"],
  [["ProvisioningState/failed", "PowerState/running"], "failed", "running", undefined],
])("a worker whose statuses are %j", async (codes, provisioning, power, failureCode) => {
  const statuses = codes.map((code) => ({ code }));
  const properties = { provisioningState: provisioning, instanceView: { statuses } };
  manager.answer(`GET ${workerRequest.vmResourceId}`, { status: 200, body: { properties } });
  const state = await port.readWorkerVm(workerRequest.vmResourceId);
  expect(state).toEqual({ provisioning, power, failureCode });
});

test("an image without an exact version is refused", async () => {
  const urn = "Canonical:ubuntu-24_04-lts:server:latest";
  const image = { kind: "marketplace", urn } as const;
  const start = port.startWorkerVm({ ...workerRequest, image });
  await expect(start).rejects.toMatchObject({ code: "InvalidImageUrn" });
});
