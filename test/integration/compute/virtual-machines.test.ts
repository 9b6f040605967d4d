import { afterAll, beforeAll, expect, it } from "vitest";
import type { VirtualMachine } from "@azure/arm-compute";
import {
  attachBody,
  createEmptyDisk,
  diskId,
  group,
  imageBody,
  quick,
  refusalOf,
  region,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "./compute-cloud.ts";

/** Generous: the machine that runs the tests may be busy with other things. */
const eventually = { interval: 50, timeout: 20_000 };

let cloud: ComputeCloud;

beforeAll(async () => {
  cloud = await startComputeCloud({
    coreQuota: (location) => ({ regular: location === "uksouth" ? 3 : 500, spot: 4 }),
  });
});
afterAll(async () => cloud.close());

function create(name: string, body: VirtualMachine) {
  return cloud.client.virtualMachines.createOrUpdate(group, name, body, quick);
}

async function powerStateOf(name: string): Promise<string | undefined> {
  const view = await cloud.client.virtualMachines.instanceView(group, name);
  return view.statuses?.map(({ code }) => code).find((code) => code?.startsWith("PowerState/"));
}

async function createAttached(name: string, luns: readonly number[] = []) {
  const os = await createEmptyDisk(cloud, `${name}-os`, { osType: "Linux" });
  const dataDisks: { lun: number; id: string }[] = [];
  for (const lun of luns) {
    dataDisks.push({ lun, id: await createEmptyDisk(cloud, `${name}-data-${lun}`) });
  }
  const nic = cloud.nic(`${name}-nic`);
  return { body: attachBody(os, [nic], dataDisks), os, nic, dataDisks };
}

it("creates a VM from attached disks and starts no process for it", async () => {
  const { body, os, nic, dataDisks } = await createAttached("plain", [0, 3]);
  const vm = await create("plain", {
    ...body,
    tags: { a: "b" },
    identity: { type: "SystemAssigned" },
  });
  expect(vm).toMatchObject({
    provisioningState: "Succeeded",
    tags: { a: "b" },
    securityProfile: { securityType: "Standard" },
    storageProfile: {
      osDisk: {
        name: "plain-os",
        osType: "Linux",
        createOption: "Attach",
        managedDisk: { id: os },
      },
      dataDisks: [
        { lun: 0, caching: "None", deleteOption: "Detach", managedDisk: { id: dataDisks[0]?.id } },
        { lun: 3 },
      ],
    },
  });
  expect(vm.identity?.principalId).toMatch(/^[\da-f-]{36}$/);
  expect(vm.osProfile).toBeUndefined();
  expect(await powerStateOf("plain")).toBe("PowerState/running");
  expect(await cloud.host.listProcesses(vm.vmId ?? "")).toEqual([]);
  expect((await cloud.client.disks.get(group, "plain-os")).managedBy).toBe(vmId("plain"));
  const expanded = await cloud.client.virtualMachines.get(group, "plain", {
    expand: "instanceView",
  });
  expect(expanded.instanceView?.disks?.map(({ name }) => name)).toEqual([
    "plain-os",
    "plain-data-0",
    "plain-data-3",
  ]);
  expect(nic).toContain("plain-nic");
});

it("refuses an attached VM with what only an image needs", async () => {
  const { body } = await createAttached("strict");
  const { osProfile = {}, storageProfile } = imageBody("x");
  expect(await refusalOf(create("strict", { ...body, osProfile }))).toBe("400 InvalidParameter");
  const both = { ...body.storageProfile, imageReference: storageProfile?.imageReference ?? {} };
  expect(await refusalOf(create("strict", { ...body, storageProfile: both }))).toBe(
    "400 InvalidParameter",
  );
  expect(
    await refusalOf(
      create("strict", { ...body, securityProfile: { securityType: "TrustedLaunch" } }),
    ),
  ).toBe("400 BadRequest");
  const plan = { name: "n", publisher: "p", product: "q" };
  expect(await refusalOf(create("strict", { ...body, plan }))).toBe(
    "400 VMMarketplaceInvalidInput",
  );
  const arm = { hardwareProfile: { vmSize: "Standard_D2ps_v5" } };
  expect(await refusalOf(create("strict", { ...body, ...arm }))).toBe("400 BadRequest");
  const nvme = { ...body.storageProfile, diskControllerType: "NVMe" };
  expect(await refusalOf(create("strict", { ...body, storageProfile: nvme }))).toBe(
    "400 InvalidParameter",
  );
  expect((await cloud.client.disks.get(group, "strict-os")).managedBy).toBeUndefined();
});

it("refuses disks and interfaces that another VM has, or that are elsewhere", async () => {
  const taken = await createAttached("owner");
  await create("owner", taken.body);
  const free = await createAttached("free");
  const nic = (id: string) => ({ networkProfile: { networkInterfaces: [{ id }] } });
  expect(await refusalOf(create("thief", { ...taken.body, ...nic(free.nic) }))).toBe(
    "409 ConflictingUserInput",
  );
  expect(await refusalOf(create("thief", { ...free.body, ...nic(taken.nic) }))).toBe(
    "400 NicInUse",
  );
  expect(await refusalOf(create("thief", { ...free.body, ...nic(`${free.nic}-none`) }))).toBe(
    "400 InvalidResourceReference",
  );
  const far = cloud.nic("far-nic", "northeurope");
  expect(await refusalOf(create("thief", { ...free.body, ...nic(far) }))).toBe(
    "400 InvalidResourceReference",
  );
  await createEmptyDisk(cloud, "far-os", { location: "northeurope", osType: "Linux" });
  expect(await refusalOf(create("thief", attachBody(diskId("far-os"), [free.nic])))).toBe(
    "404 ResourceNotFound",
  );
  expect(await refusalOf(create("thief", attachBody(diskId("none"), [free.nic])))).toBe(
    "404 ResourceNotFound",
  );
  await createEmptyDisk(cloud, "zonal-os", { zones: ["1"], osType: "Linux" });
  const zonal = attachBody(diskId("zonal-os"), [free.nic]);
  expect(await refusalOf(create("thief", zonal))).toBe("400 BadRequest");
  expect(await refusalOf(create("thief", { ...zonal, zones: ["2"] }))).toBe("400 BadRequest");
  await create("zonal", { ...zonal, zones: ["1"] });
});

it("refuses LUNs used twice, more data disks than the size takes, unknown sizes and fields", async () => {
  const { body, dataDisks } = await createAttached("luns", [0, 1, 2]);
  expect(await refusalOf(create("luns", body))).toBe("409 OperationNotAllowed");
  const twice = dataDisks.slice(0, 2).map(({ id }) => ({
    lun: 5,
    createOption: "Attach",
    managedDisk: { id },
  }));
  const storageProfile = { ...body.storageProfile, dataDisks: twice };
  expect(await refusalOf(create("luns", { ...body, storageProfile }))).toBe("400 InvalidParameter");
  const hardwareProfile = { vmSize: "Standard_Nothing" };
  expect(await refusalOf(create("luns", { ...body, hardwareProfile }))).toBe(
    "400 InvalidParameter",
  );
  expect(await refusalOf(create("luns", { ...body, evictionPolicy: "Delete" }))).toBe(
    "409 OperationNotAllowed",
  );
  expect(
    await refusalOf(create("luns", { ...body, networkProfile: { networkInterfaces: [] } })),
  ).toBe("400 InvalidParameter");
});

it("counts cores against the region's quota, Spot apart", async () => {
  const body = (name: string) => ({
    ...imageBody(cloud.nic(name, "uksouth")),
    location: "uksouth",
  });
  const spot = { priority: "Spot", evictionPolicy: "Delete" } as const;
  await create("quota-1", body("quota-1"));
  expect(await refusalOf(create("quota-2", body("quota-2")))).toBe("409 OperationNotAllowed");
  await create("quota-3", { ...body("quota-3"), ...spot });
  await cloud.client.virtualMachines.delete(group, "quota-1", quick);
  await create("quota-2", body("quota-2"));
});

const password = { adminPassword: "Short1!" };
const otherPath = { publicKeys: [{ path: "/root/.ssh/x", keyData: "ssh-rsa AAAA" }] };
it.each<[string, (profile: NonNullable<VirtualMachine["osProfile"]>) => object]>([
  ["no profile", () => ({ osProfile: undefined })],
  ["a reserved user", (profile) => ({ osProfile: { ...profile, adminUsername: "root" } })],
  [
    "neither key nor password",
    (profile) => ({ osProfile: { ...profile, linuxConfiguration: {} } }),
  ],
  ["a weak password", (profile) => ({ osProfile: { ...profile, ...password } })],
  [
    "a key in a strange place",
    (profile) => ({ osProfile: { ...profile, linuxConfiguration: { ssh: otherPath } } }),
  ],
  [
    "custom data that is no base64",
    (profile) => ({ osProfile: { ...profile, customData: "#!no" } }),
  ],
  [
    "custom data above 65535 bytes",
    (profile) => ({
      osProfile: { ...profile, customData: Buffer.alloc(65_536).toString("base64") },
    }),
  ],
])("refuses a VM from an image with %s", async (_, change) => {
  const body = imageBody(cloud.nic("refused-nic"));
  const profile = body.osProfile ?? {};
  expect(await refusalOf(create("refused", { ...body, ...change(profile) }))).toBe(
    "400 InvalidParameter",
  );
});

it("refuses images that do not exist or do not fit", async () => {
  const body = imageBody(cloud.nic("image-nic"));
  const withImage = (sku: string, version: string) => ({
    ...body,
    storageProfile: {
      ...body.storageProfile,
      imageReference: { publisher: "Canonical", offer: "ubuntu-24_04-lts", sku, version },
    },
  });
  expect(await refusalOf(create("image", withImage("none", "24.04.1")))).toBe(
    "404 PlatformImageNotFound",
  );
  expect(await refusalOf(create("image", withImage("server", "newest")))).toBe(
    "404 PlatformImageNotFound",
  );
  expect(await refusalOf(create("image", withImage("server-arm64", "24.04.1")))).toBe(
    "400 BadRequest",
  );
});

it("deletes with the VM what says so, and frees the rest", async () => {
  const { body, nic } = await createAttached("gone", [0, 1]);
  const [first, second] = body.storageProfile?.dataDisks ?? [];
  await create("gone", {
    ...body,
    storageProfile: {
      osDisk: { ...body.storageProfile?.osDisk, createOption: "Attach", deleteOption: "Delete" },
      dataDisks: [
        { ...first!, deleteOption: "Detach" },
        { ...second!, deleteOption: "Delete" },
      ],
    },
  });
  await cloud.client.virtualMachines.deallocate(group, "gone", quick);
  const read = { access: "Read", durationInSeconds: 60 } as const;
  await cloud.client.disks.grantAccess(group, "gone-os", read, quick);
  expect(await refusalOf(cloud.client.virtualMachines.delete(group, "gone", quick))).toBe(
    "409 OperationNotAllowed",
  );
  await cloud.client.disks.revokeAccess(group, "gone-os", quick);
  await cloud.client.virtualMachines.delete(group, "gone", { ...quick, forceDeletion: true });
  expect(await refusalOf(cloud.client.virtualMachines.get(group, "gone"))).toBe(
    "404 ResourceNotFound",
  );
  expect(await refusalOf(cloud.client.disks.get(group, "gone-os"))).toBe("404 ResourceNotFound");
  expect(await refusalOf(cloud.client.disks.get(group, "gone-data-1"))).toBe(
    "404 ResourceNotFound",
  );
  const kept = await cloud.client.disks.get(group, "gone-data-0");
  expect(kept).toMatchObject({ diskState: "Unattached" });
  expect(kept.managedBy).toBeUndefined();
  const other = attachBody(await createEmptyDisk(cloud, "next-os", { osType: "Linux" }), [nic]);
  await create("next", other);
});

it("attaches, detaches and swaps disks of an existing VM", async () => {
  const { body, os } = await createAttached("swap", [0]);
  await create("swap", body);
  const added = await createEmptyDisk(cloud, "swap-added");
  const { virtualMachines, disks } = cloud.client;
  const attach = (lun: number, id: string) => ({
    lun,
    createOption: "Attach" as const,
    managedDisk: { id },
  });
  await virtualMachines.update(
    group,
    "swap",
    { storageProfile: { osDisk: { createOption: "Attach" }, dataDisks: [attach(1, added)] } },
    quick,
  );
  expect((await disks.get(group, "swap-data-0")).diskState).toBe("Unattached");
  expect((await disks.get(group, "swap-added")).managedBy).toBe(vmId("swap"));
  const fresh = await createEmptyDisk(cloud, "swap-fresh", { osType: "Linux" });
  await virtualMachines.update(
    group,
    "swap",
    { storageProfile: { osDisk: { createOption: "Attach", managedDisk: { id: fresh } } } },
    quick,
  );
  const vm = await virtualMachines.get(group, "swap");
  expect(vm.storageProfile?.osDisk?.name).toBe("swap-fresh");
  expect(vm.storageProfile?.dataDisks).toHaveLength(1);
  expect((await disks.get(group, "swap-os")).diskState).toBe("Unattached");
  expect(os).not.toBe(fresh);
  expect(
    await refusalOf(
      virtualMachines.update(
        group,
        "swap",
        { networkProfile: { networkInterfaces: [{ id: cloud.nic("swap-nic-2") }] } },
        quick,
      ),
    ),
  ).toBe("409 AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported");
});

it("refuses a write while another operation runs", async () => {
  const { body } = await createAttached("held");
  await create("held", body);
  cloud.manager.operations.hold();
  const stopping = cloud.client.virtualMachines.deallocate(group, "held", quick);
  await expect.poll(async () => powerStateOf("held"), eventually).toMatch(/dealloc/);
  expect(await refusalOf(cloud.client.virtualMachines.start(group, "held", quick))).toBe(
    "409 Conflict",
  );
  expect(await refusalOf(cloud.client.virtualMachines.delete(group, "held", quick))).toBe(
    "409 Conflict",
  );
  cloud.manager.operations.release();
  await stopping;
  expect(await powerStateOf("held")).toBe("PowerState/deallocated");
});

it("throttles writes on one VM: twelve at once, four a minute", async () => {
  const { body } = await createAttached("often");
  await create("often", body);
  const tag = (n: string) =>
    cloud.client.virtualMachines.update(group, "often", { tags: { n } }, quick);
  for (let count = 2; count <= 12; count++) await tag(String(count));
  expect(await refusalOf(tag("13"))).toBe("429 OperationNotAllowed");
  cloud.advance(15_000);
  await tag("13");
  expect(await refusalOf(tag("14"))).toBe("429 OperationNotAllowed");
});

it("walks through the power states and lists machines", async () => {
  const { body } = await createAttached("power");
  await create("power", body);
  const { virtualMachines } = cloud.client;
  await virtualMachines.powerOff(group, "power", quick);
  expect(await powerStateOf("power")).toBe("PowerState/stopped");
  expect(await refusalOf(virtualMachines.restart(group, "power", quick))).toBe(
    "409 OperationNotAllowed",
  );
  await virtualMachines.start(group, "power", quick);
  await virtualMachines.restart(group, "power", quick);
  expect(await powerStateOf("power")).toBe("PowerState/running");
  const names: string[] = [];
  for await (const vm of virtualMachines.listAll()) names.push(vm.name ?? "");
  for await (const vm of virtualMachines.list(group)) expect(names).toContain(vm.name);
  expect(names).toContain("power");
  const sizes: string[] = [];
  for await (const size of cloud.client.virtualMachineSizes.list(region))
    sizes.push(size.name ?? "");
  expect(sizes).toContain("Standard_F2s_v2");
});
