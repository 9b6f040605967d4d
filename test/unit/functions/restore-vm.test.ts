import { beforeEach, describe, expect, it } from "vitest";
import { SESSION_TAG } from "#core/backup/snapshot-tags.ts";
import type { DiskSettings } from "#core/ports/compute.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { SUBSCRIPTION, createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

const SESSION = "restore-1";
const GROUP = `/subscriptions/${SUBSCRIPTION}/resourceGroups/shop`;
const POINT = `${createTestVm().vmId}-20261122T013000Z-manual`;

/** A world with one restore point, whose source VM is gone. */
async function prepare(vmName = "web-restored"): Promise<World> {
  const world = createWorld();
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
  const sessionId = `backup-${POINT}`;
  await world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
    sessionId,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  });
  await world.context.records.sessions.insert(SESSION, {
    sessionId: SESSION,
    type: "restore",
    state: "running",
    trigger: "manual",
    startedAt: world.context.clock().toISOString(),
    restorePointId: POINT,
    restoreRequest: { restorePointId: POINT, vmName },
  });
  world.driver.calls.length = 0;
  return world;
}

const restore = (world: World): Promise<unknown> =>
  world.driver.run(ORCHESTRATORS.restoreVm, SESSION, {
    sessionId: SESSION,
    settings: world.context.config.run,
  });

const restoredOf = (world: World): string[] =>
  [...world.azure.resources.values()]
    .filter((each) => each.tags[SESSION_TAG] === SESSION)
    .map((each) => each.id.slice(each.id.lastIndexOf("/") + 1))
    .sort();

describe("restore of a VM", () => {
  let world: World;
  beforeEach(async () => {
    world = await prepare();
  });

  it("makes disks, NIC and VM under the new name, with the disks sealed", async () => {
    expect(await restore(world)).toMatchObject({ ok: true, value: { state: "succeeded" } });
    expect(restoredOf(world)).toEqual([
      "web-restored",
      "web-restored-data-0",
      "web-restored-nic-0",
      "web-restored-os",
    ]);
    expect(world.azure.ofType("disk").map((disk) => disk.diskState)).toEqual([
      "Unattached",
      "Unattached",
    ]);
    expect(world.azure.liveSas.size).toBe(0);
    const session = await world.context.records.sessions.get(SESSION);
    expect(session.restoredVmResourceId).toBe(
      `${GROUP}/providers/Microsoft.Compute/virtualMachines/web-restored`,
    );
    expect(session.restoreDisks).toHaveLength(2);
    const [, job] = world.jobs;
    expect(job?.kind === "restore" && job.disks.map((disk) => disk.sizeBytes)).toEqual([
      2 ** 30,
      2 ** 31,
    ]);
  });

  it("carries the tags of every disk over", async () => {
    expect(await restore(world)).toMatchObject({ ok: true });
    const tagsOf = (suffix: string) =>
      world.azure.ofType("disk").find(({ id }) => id.endsWith(suffix))?.tags;
    const { osDisk, dataDisks } = createTestVm();
    expect(Object.keys(osDisk.tags)).not.toEqual([]);
    expect(tagsOf("-os")).toEqual({ ...osDisk.tags, [SESSION_TAG]: SESSION });
    expect(tagsOf("-data-0")).toEqual({ ...dataDisks[0]?.tags, [SESSION_TAG]: SESSION });
  });

  it("writes the disks through disk accesses, then gives them the settings of their sources", async () => {
    const source = createTestVm();
    const uploads: DiskSettings[] = [];
    const vm = {
      ...source,
      osDisk: {
        ...source.osDisk,
        networkAccessPolicy: "AllowAll" as const,
        publicNetworkAccess: "Enabled" as const,
        diskEncryptionSetId: "/subscriptions/s/set",
      },
    };
    await world.context.records.points.update(POINT, (point) => ({ ...point, vm }));
    const succeed = world.work;
    world.work = (job) => {
      if (job.kind === "restore")
        uploads.push(...world.azure.ofType("disk").map(({ settings }) => settings));
      return succeed(job);
    };
    expect(await restore(world)).toMatchObject({ ok: true, value: { state: "succeeded" } });
    // Azure takes no upload to a disk with a disk access and a disk encryption set.
    for (const { networkAccess, diskEncryptionSetId } of uploads) {
      expect(networkAccess).toMatchObject({ policy: "AllowPrivate", publicAccess: false });
      expect(diskEncryptionSetId).toBeUndefined();
    }
    expect(uploads).toHaveLength(2);
    const [os, data] = ["-os", "-data-0"].map(
      (suffix) => world.azure.ofType("disk").find(({ id }) => id.endsWith(suffix))?.settings,
    );
    expect(os).toEqual({
      networkAccess: { policy: "AllowAll", publicAccess: true },
      diskEncryptionSetId: "/subscriptions/s/set",
    });
    expect(data?.networkAccess).toEqual({ policy: "DenyAll", publicAccess: false });
    const log = (await collect(world.context.records.sessionLog(SESSION).list())).map(
      ({ value }) => value,
    );
    expect(log.filter(({ level }) => level === "warning").map(({ message }) => message)).toEqual([
      expect.stringContaining("does not tell the network access of disk web-0"),
    ]);
    expect(world.driver.diskSlots.get(`westeurope~${SUBSCRIPTION}`)?.holders).toEqual([]);
  });

  it("overwrites nothing: an existing disk is a conflict and stays", async () => {
    const taken = `${GROUP}/providers/Microsoft.Compute/disks/web-restored-os`;
    await world.azure.compute.startUploadDisk({
      diskId: taken,
      location: "westeurope",
      zones: [],
      sizeBytes: 1,
      skuName: "x",
      diskAccessId: "/subscriptions/s/theirs",
      tags: {},
    });
    expect(await restore(world)).toMatchObject({ value: { state: "failed" } });
    expect((await world.context.records.sessions.get(SESSION)).error?.code).toBe("RestoreConflict");
    expect(world.azure.ofType("disk").map((disk) => disk.id)).toEqual([taken]);
  });

  it("leaves nothing of the restore behind whichever call fails", async () => {
    const before = world.driver.calls.length;
    await restore(world);
    const names = world.driver.calls.slice(before).map((call) => call.name);
    // What comes after the work, or is only told, fails nothing.
    const undone = new Set([
      "delete-restored",
      "revoke-grants",
      "close-session",
      "append-log",
      "rest-worker",
    ]);
    for (const [failing, name] of names.entries()) {
      if (undone.has(name)) continue;
      const broken = await prepare();
      const error = { code: "Injected", message: name, retry: "never" };
      broken.sabotage = () =>
        broken.driver.calls.length === failing + 1 ? { ok: false, error } : undefined;
      await restore(broken);
      const { state } = await broken.context.records.sessions.get(SESSION);
      expect([name, state, restoredOf(broken)]).toEqual([name, "failed", []]);
      expect(broken.azure.liveSas.size).toBe(0);
      expect(await collect(broken.context.records.grants.list())).toEqual([]);
    }
  });
});
