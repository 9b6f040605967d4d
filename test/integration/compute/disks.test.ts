import { afterAll, beforeAll, expect, it } from "vitest";
import {
  attachBody,
  createEmptyDisk,
  diskId,
  group,
  quick,
  refusalOf,
  region,
  resourceId,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "./compute-cloud.ts";

let cloud: ComputeCloud;

beforeAll(async () => {
  cloud = await startComputeCloud();
});
afterAll(async () => cloud.close());

function create(name: string, body: object) {
  return cloud.client.disks.createOrUpdate(
    group,
    name,
    { location: region, creationData: { createOption: "Empty" }, ...body },
    quick,
  );
}

it("creates an empty disk and shows what Azure fills in", async () => {
  const disk = await create("empty", { diskSizeGB: 4, tags: { a: "b" }, zones: ["2"] });
  expect(disk).toMatchObject({
    location: region,
    provisioningState: "Succeeded",
    diskState: "Unattached",
    diskSizeGB: 4,
    diskSizeBytes: 4 * 1024 ** 3,
    tags: { a: "b" },
    zones: ["2"],
    sku: { name: "Standard_LRS", tier: "Standard" },
    networkAccessPolicy: "AllowAll",
    publicNetworkAccess: "Enabled",
  });
  expect(disk.uniqueId).toMatch(/^[\da-f-]{36}$/);
  expect(disk.timeCreated).toBeInstanceOf(Date);
});

it.each<[string, object, string]>([
  ["an empty disk without a size", {}, "400 InvalidParameter"],
  ["a size above 32767 GiB", { diskSizeGB: 32_768 }, "400 InvalidParameter"],
  ["an unknown sku", { diskSizeGB: 1, sku: { name: "Fast_LRS" } }, "400 InvalidParameter"],
  [
    "trusted launch of an upload without guest state",
    {
      creationData: { createOption: "Upload", uploadSizeBytes: 2 ** 30 + 512 },
      securityProfile: { securityType: "TrustedLaunch" },
    },
    "400 BadRequest",
  ],
  [
    "an upload to Premium SSD v2",
    {
      creationData: { createOption: "Upload", uploadSizeBytes: 2 ** 30 + 512 },
      sku: { name: "PremiumV2_LRS" },
    },
    "400 InvalidParameter",
  ],
  ["an unknown zone", { diskSizeGB: 1, zones: ["4"] }, "400 InvalidAvailabilityZone"],
  [
    "a zone of a zone-redundant disk",
    { diskSizeGB: 1, zones: ["1"], sku: { name: "Premium_ZRS" } },
    "400 InvalidParameter",
  ],
  [
    "an upload without the footer in its size",
    { creationData: { createOption: "Upload", uploadSizeBytes: 20_971_520 } },
    "400 InvalidParameter",
  ],
  [
    "a copy of nothing",
    { creationData: { createOption: "Copy", sourceResourceId: diskId("nothing") } },
    "404 ResourceNotFound",
  ],
  [
    "the import of a file that nobody offered",
    { creationData: { createOption: "Import", sourceUri: "file:///etc/passwd" } },
    "400 InvalidParameter",
  ],
  [
    "AllowPrivate without a disk access",
    { diskSizeGB: 1, networkAccessPolicy: "AllowPrivate" },
    "400 InvalidParameter",
  ],
  [
    "a disk access that does not exist",
    {
      diskSizeGB: 1,
      networkAccessPolicy: "AllowPrivate",
      diskAccessId: resourceId("Microsoft.Compute/diskAccesses", "none"),
    },
    "404 ResourceNotFound",
  ],
])("refuses %s", async (_, body, refusal) => {
  expect(await refusalOf(create("refused", body))).toBe(refusal);
  expect(await refusalOf(cloud.client.disks.get(group, "refused"))).toBe("404 ResourceNotFound");
});

it("uploads: ready, active, unattached, each only once", async () => {
  const uploadSizeBytes = 20_971_520 + 512;
  const made = await create("upload", {
    creationData: { createOption: "Upload", uploadSizeBytes },
  });
  expect(made).toMatchObject({ diskState: "ReadyToUpload", diskSizeBytes: 20_971_520 });
  const nic = cloud.nic("upload-nic");
  const attach = attachBody(diskId("upload"), [nic]);
  expect(
    await refusalOf(cloud.client.virtualMachines.createOrUpdate(group, "early", attach, quick)),
  ).toBe("409 OperationNotAllowed");
  const write = { access: "Write", durationInSeconds: 600 } as const;
  const sas = await cloud.client.disks.grantAccess(group, "upload", write, quick);
  expect(sas.accessSAS).toMatch(/^https:\/\/127\.0\.0\.1:/);
  expect((await cloud.client.disks.get(group, "upload")).diskState).toBe("ActiveUpload");
  await cloud.client.disks.revokeAccess(group, "upload", quick);
  expect((await cloud.client.disks.get(group, "upload")).diskState).toBe("Unattached");
  expect(await refusalOf(cloud.client.disks.grantAccess(group, "upload", write, quick))).toBe(
    "409 OperationNotAllowed",
  );
});

it("grants a read SAS whose disk cannot be attached or deleted", async () => {
  const id = await createEmptyDisk(cloud, "shared", { osType: "Linux" });
  const read = { access: "Read", durationInSeconds: 600 } as const;
  const first = await cloud.client.disks.grantAccess(group, "shared", read, quick);
  const second = await cloud.client.disks.grantAccess(group, "shared", read, quick);
  expect(second.accessSAS).toBe(first.accessSAS);
  expect((await cloud.client.disks.get(group, "shared")).diskState).toBe("ActiveSAS");
  const body = attachBody(id, [cloud.nic("shared-nic")]);
  expect(
    await refusalOf(cloud.client.virtualMachines.createOrUpdate(group, "taker", body, quick)),
  ).toBe("409 OperationNotAllowed");
  expect(await refusalOf(cloud.client.disks.delete(group, "shared", quick))).toBe(
    "409 OperationNotAllowed",
  );
  await cloud.client.disks.revokeAccess(group, "shared", quick);
  await cloud.client.disks.revokeAccess(group, "shared", quick);
  await cloud.client.disks.delete(group, "shared", quick);
  expect(cloud.disks.describeDisk(id.toLowerCase())).toBeUndefined();
});

it("grants nothing on a disk of a running VM, and reads of a deallocated one's", async () => {
  const id = await createEmptyDisk(cloud, "busy", { osType: "Linux" });
  const { virtualMachines, disks } = cloud.client;
  await virtualMachines.createOrUpdate(
    group,
    "busy-vm",
    attachBody(id, [cloud.nic("busy-nic")]),
    quick,
  );
  const read = { access: "Read", durationInSeconds: 60 } as const;
  expect(await refusalOf(disks.grantAccess(group, "busy", read, quick))).toBe("409 Conflict");
  expect(await disks.get(group, "busy")).toMatchObject({
    diskState: "Attached",
    managedBy: vmId("busy-vm"),
  });
  expect(await refusalOf(disks.delete(group, "busy", quick))).toBe("409 OperationNotAllowed");
  await virtualMachines.deallocate(group, "busy-vm", quick);
  expect((await disks.get(group, "busy")).diskState).toBe("Reserved");
  await disks.grantAccess(group, "busy", read, quick);
  expect(await refusalOf(virtualMachines.start(group, "busy-vm", quick))).toBe(
    "409 OperationNotAllowed",
  );
  await disks.revokeAccess(group, "busy", quick);
  await virtualMachines.start(group, "busy-vm", quick);
});

it("changes tags, size and policy, and no creation data", async () => {
  await createEmptyDisk(cloud, "changed");
  const { disks, diskAccesses } = cloud.client;
  const access = await diskAccesses.createOrUpdate(group, "access", { location: region }, quick);
  const diskAccessId = access.id ?? "";
  await disks.update(group, "changed", { tags: { x: "y" } }, quick);
  await disks.update(
    group,
    "changed",
    { diskSizeGB: 2, networkAccessPolicy: "AllowPrivate", diskAccessId },
    quick,
  );
  expect(await disks.get(group, "changed")).toMatchObject({
    tags: { x: "y" },
    diskSizeGB: 2,
    networkAccessPolicy: "AllowPrivate",
  });
  expect(await refusalOf(diskAccesses.delete(group, "access", quick))).toBe(
    "409 OperationNotAllowed",
  );
  await disks.update(group, "changed", { networkAccessPolicy: "DenyAll" }, quick);
  const read = { access: "Read", durationInSeconds: 60 } as const;
  expect(await refusalOf(disks.grantAccess(group, "changed", read, quick))).toBe(
    "409 OperationNotAllowed",
  );
  expect(await refusalOf(disks.update(group, "changed", { diskSizeGB: 1 }, quick))).toBe(
    "409 OperationNotAllowed",
  );
  const other = { creationData: { createOption: "Upload", uploadSizeBytes: 20_972_032 } };
  expect(await refusalOf(create("changed", other))).toBe("409 PropertyChangeNotAllowed");
  await diskAccesses.delete(group, "access", quick);
});

it("lets at most five disks of one disk access be exported at a time", async () => {
  const { disks, diskAccesses } = cloud.client;
  const access = await diskAccesses.createOrUpdate(group, "five", { location: region }, quick);
  const policy = { networkAccessPolicy: "AllowPrivate", diskAccessId: access.id };
  const names = [1, 2, 3, 4, 5, 6].map((number) => `private-${number}`);
  for (const name of names) await create(name, { diskSizeGB: 1, ...policy });
  const grant = (name: string) =>
    disks.grantAccess(group, name, { access: "Read", durationInSeconds: 60 }, quick);
  for (const name of names.slice(0, 5)) await grant(name);
  expect(await refusalOf(grant("private-6"))).toBe("409 OperationNotAllowed");
  await grant("private-1");
  await disks.revokeAccess(group, "private-1", quick);
  await grant("private-6");
});

it("takes one private endpoint for a disk access, and another one after that went", async () => {
  const { network, client } = cloud;
  const made = await network.virtualNetworks.createOrUpdate(
    group,
    "one-endpoint",
    {
      location: region,
      addressSpace: { addressPrefixes: ["10.66.0.0/24"] },
      subnets: [{ name: "workers", addressPrefix: "10.66.0.0/24" }],
    },
    quick,
  );
  const access = await client.diskAccesses.createOrUpdate(
    group,
    "one",
    { location: region },
    quick,
  );
  const connect = (name: string) =>
    network.privateEndpoints.createOrUpdate(
      group,
      name,
      {
        location: region,
        subnet: { id: made.subnets?.[0]?.id ?? "" },
        privateLinkServiceConnections: [
          { name: "c", privateLinkServiceId: access.id ?? "", groupIds: ["disks"] },
        ],
      },
      quick,
    );
  await connect("first");
  expect(await refusalOf(connect("second"))).toBe("400 PrivateEndpointConnectionLimitReached");
  await connect("first");
  await network.privateEndpoints.delete(group, "first", quick);
  await connect("second");
});
