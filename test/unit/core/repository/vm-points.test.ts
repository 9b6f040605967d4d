import { expect, it } from "vitest";
import { commitVmPoint, listVmPoints, readVmPoint } from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, newRepository, seededRandom, signal } from "./fixtures.ts";

const diskPoint = { diskId: "disk-1", sequence: 1, manifestId: "ab".repeat(16) };

function point(vmId: string, pointId: string, name: string) {
  return {
    vmId,
    pointId,
    takenAt: new Date("2026-05-01T10:00:00Z"),
    vm: { name, tags: { cost: "centre" }, dataDisks: [{ lun: 0, caching: "None" }] },
    disks: [{ lun: "os" as const, sizeBytes: 512, diskPoint }],
    random: seededRandom(`${vmId}/${pointId}/${name}`),
    now: () => new Date("2026-05-01T10:30:00Z"),
  };
}

it("returns the whole configuration of a committed VM point", async () => {
  const repository = await newRepository(new MemoryStore());
  await commitVmPoint(repository, point("vm-1", "p1", "web"), signal);
  expect(await readVmPoint(repository, "vm-1", "p1", signal)).toEqual({
    format: 1,
    vmId: "vm-1",
    pointId: "p1",
    takenAt: "2026-05-01T10:00:00.000Z",
    committedAt: "2026-05-01T10:30:00.000Z",
    vm: { name: "web", tags: { cost: "centre" }, dataDisks: [{ lun: 0, caching: "None" }] },
    disks: [{ lun: "os", sizeBytes: 512, diskPoint }],
  });
});

it("keeps the first commit of an id and returns it to every later one", async () => {
  const repository = await newRepository(new MemoryStore());
  await commitVmPoint(repository, point("vm-1", "p1", "first"), signal);
  const again = await commitVmPoint(repository, point("vm-1", "p1", "second"), signal);
  expect(again.vm).toMatchObject({ name: "first" });
});

it("lists the points of one VM or of all, and ignores foreign objects", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  for (const [vmId, pointId] of [
    ["vm-1", "b"],
    ["vm-1", "a"],
    ["vm-10", "c"],
  ] as const) {
    await commitVmPoint(repository, point(vmId, pointId, "x"), signal);
  }
  await store.create("vms/vm-1/points/notes.txt", new Uint8Array(3), signal);
  const list = async (vmId?: string) => {
    const found: string[] = [];
    for await (const each of listVmPoints(repository, vmId, signal)) {
      found.push(`${each.vmId}/${each.pointId}`);
    }
    return found;
  };
  expect(await list("vm-1")).toEqual(["vm-1/a", "vm-1/b"]);
  expect(await list()).toEqual(["vm-1/a", "vm-1/b", "vm-10/c"]);
});

it("says when a point is not there, and refuses one that was put in its place", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  expect(await failureOf(readVmPoint(repository, "vm-1", "p1", signal))).toBe("VmPointNotFound");
  await commitVmPoint(repository, point("vm-1", "p1", "web"), signal);
  store.objects.set(
    "vms/vm-2/points/p1.manifest",
    store.objects.get("vms/vm-1/points/p1.manifest")!,
  );
  expect(await failureOf(readVmPoint(repository, "vm-2", "p1", signal))).toBe("RepositoryDamaged");
  expect(await failureOf(readVmPoint(repository, "../x", "p1", signal))).toBe(
    "InvalidRepositoryName",
  );
});

it("stores nothing of the configuration in the clear", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  await commitVmPoint(repository, point("vm-1", "p1", "very-secret-name"), signal);
  for (const { bytes } of store.objects.values()) {
    expect(Buffer.from(bytes).includes("very-secret-name")).toBe(false);
  }
});
