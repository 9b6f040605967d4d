import { afterAll, beforeAll, expect, it } from "vitest";
import {
  createEmptyDisk,
  diskId,
  group,
  quick,
  refusalOf,
  region,
  resourceId,
  startComputeCloud,
  type ComputeCloud,
} from "./compute-cloud.ts";

let cloud: ComputeCloud;

beforeAll(async () => {
  cloud = await startComputeCloud();
});
afterAll(async () => cloud.close());

function snapshot(name: string, source: string, more: object = {}) {
  return cloud.client.snapshots.createOrUpdate(
    group,
    name,
    {
      location: region,
      incremental: true,
      creationData: { createOption: "Copy", sourceResourceId: source },
      ...more,
    },
    quick,
  );
}

it("takes an incremental snapshot and shows the fields that a backup reads", async () => {
  const source = await createEmptyDisk(cloud, "source", { osType: "Linux" });
  const disk = await cloud.client.disks.get(group, "source");
  const one = await snapshot("one", source, { tags: { by: "test" } });
  const two = await snapshot("two", source);
  expect(one).toMatchObject({
    provisioningState: "Succeeded",
    incremental: true,
    completionPercent: 100,
    snapshotAccessState: "Available",
    diskSizeBytes: 1024 ** 3,
    diskSizeGB: 1,
    osType: "Linux",
    diskState: "Unattached",
    tags: { by: "test" },
  });
  expect(one.creationData?.sourceUniqueId).toBe(disk.uniqueId);
  expect(one.incrementalSnapshotFamilyId).toBe(two.incrementalSnapshotFamilyId);
  expect(one.uniqueId).not.toBe(two.uniqueId);
});

it("sets the network policy with the creation", async () => {
  const source = await createEmptyDisk(cloud, "private-source");
  const access = await cloud.client.diskAccesses.createOrUpdate(
    group,
    "access",
    { location: region },
    quick,
  );
  const made = await snapshot("private", source, {
    networkAccessPolicy: "AllowPrivate",
    diskAccessId: access.id,
    publicNetworkAccess: "Disabled",
  });
  expect(made).toMatchObject({
    networkAccessPolicy: "AllowPrivate",
    diskAccessId: access.id,
    publicNetworkAccess: "Disabled",
  });
});

it.each<[string, object, string]>([
  ["another location than the disk's", { location: "northeurope" }, "404 ResourceNotFound"],
  [
    "a missing disk",
    { creationData: { createOption: "Copy", sourceResourceId: diskId("none") } },
    "404 ResourceNotFound",
  ],
  [
    "a disk of another subscription",
    {
      creationData: {
        createOption: "Copy",
        sourceResourceId: diskId("source").replace("11111111", "22222222"),
      },
    },
    "400 InvalidParameter",
  ],
  [
    "more than 50 tags",
    { tags: Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`t${index}`, "v"])) },
    "400 TooManyTags",
  ],
  [
    "a sku that snapshots do not have",
    { sku: { name: "StandardSSD_LRS" } },
    "400 InvalidParameter",
  ],
])("refuses %s", async (_, more, refusal) => {
  const scope = "/subscriptions/22222222-1111-4111-8111-111111111111";
  const [operator] = cloud.manager.context.principals.list();
  cloud.manager.assignRole({ principalId: operator?.objectId ?? "", role: "Owner", scope });
  expect(await refusalOf(snapshot("refused", diskId("source"), more))).toBe(refusal);
  expect(await refusalOf(cloud.client.snapshots.get(group, "refused"))).toBe(
    "404 ResourceNotFound",
  );
});

it("takes at most seven incremental snapshots of a disk in five minutes", async () => {
  const source = await createEmptyDisk(cloud, "often");
  for (let count = 1; count <= 7; count++) await snapshot(`often-${count}`, source);
  expect(await refusalOf(snapshot("often-8", source))).toBe("409 SnapshotOperationRateExceeded");
  expect(await refusalOf(cloud.client.snapshots.get(group, "often-8"))).toBe(
    "404 ResourceNotFound",
  );
  cloud.advance(5 * 60 * 1000 + 1);
  await snapshot("often-8", source);
});

it("allows at most five SAS in a family, and deletes nothing that has one", async () => {
  const source = await createEmptyDisk(cloud, "family");
  const names = [1, 2, 3, 4, 5, 6].map((number) => `family-${number}`);
  for (const name of names) await snapshot(name, source);
  const grant = (name: string) =>
    cloud.client.snapshots.grantAccess(
      group,
      name,
      { access: "Read", durationInSeconds: 60 },
      quick,
    );
  for (const name of names.slice(0, 5)) await grant(name);
  expect(await refusalOf(grant("family-6"))).toBe("409 OperationNotAllowed");
  expect((await cloud.client.snapshots.get(group, "family-1")).diskState).toBe("ActiveSAS");
  expect(await refusalOf(cloud.client.snapshots.delete(group, "family-1", quick))).toBe(
    "409 OperationNotAllowed",
  );
  await cloud.client.snapshots.revokeAccess(group, "family-1", quick);
  await grant("family-6");
  await cloud.client.snapshots.delete(group, "family-1", quick);
  const id = resourceId("Microsoft.Compute/snapshots", "family-1").toLowerCase();
  expect(cloud.disks.describeSnapshot(id)).toBeUndefined();
});

it("makes a disk from a snapshot of its region", async () => {
  const source = await createEmptyDisk(cloud, "origin", { osType: "Linux" });
  await cloud.disks.guestWrite(source.toLowerCase(), 512, Buffer.alloc(512, 7));
  const taken = await snapshot("origin-1", source);
  await cloud.disks.guestWrite(source.toLowerCase(), 512, Buffer.alloc(512, 8));
  const copy = (name: string, location: string, sourceResourceId: string) =>
    cloud.client.disks.createOrUpdate(
      group,
      name,
      { location, creationData: { createOption: "Copy", sourceResourceId } },
      quick,
    );
  const made = await copy("made", region, taken.id ?? "");
  expect(made).toMatchObject({ osType: "Linux", diskSizeGB: 1 });
  expect(made.creationData?.sourceUniqueId).toBe(taken.uniqueId);
  expect((await cloud.disks.guestRead(diskId("made").toLowerCase(), 512, 512))[0]).toBe(7);
  await copy("of-disk", region, source);
  expect((await cloud.disks.guestRead(diskId("of-disk").toLowerCase(), 512, 512))[0]).toBe(8);
  expect(await refusalOf(copy("far", "northeurope", taken.id ?? ""))).toBe("404 ResourceNotFound");
});

it("lists by group and subscription in pages and changes tags", async () => {
  await cloud.client.snapshots.update(group, "one", { tags: { now: "this" } }, quick);
  const names: string[] = [];
  for await (const found of cloud.client.snapshots.list()) names.push(found.name ?? "");
  const inGroup: string[] = [];
  for await (const found of cloud.client.snapshots.listByResourceGroup(group)) {
    inGroup.push(found.name ?? "");
  }
  expect(inGroup).toEqual(names);
  expect(names).toContain("often-8");
  expect((await cloud.client.snapshots.get(group, "one")).tags).toEqual({
    by: "test",
    now: "this",
  });
});
