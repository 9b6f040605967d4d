/** Disks whose data access mode asks for a token beside the SAS: who is told, and what keeps the mode. */
import { beforeEach, describe, expect, it } from "vitest";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import type { DiskSettings } from "#core/ports/compute.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

const dataAccessAuthMode = "AzureActiveDirectory" as const;
let world: World;

/** The test VM, its OS disk in the mode or not. */
function vmOf(isSecured: boolean): VmConfiguration {
  const vm = createTestVm();
  return isSecured ? { ...vm, osDisk: { ...vm.osDisk, dataAccessAuthMode } } : vm;
}

async function backUp(vm: VmConfiguration, slot: string): Promise<unknown> {
  world.azure.vms.set(vm.resourceId, vm);
  const sessionId = `backup-${vm.vmId}-${slot}-manual`;
  return world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
    sessionId,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  });
}

const succeeded = { ok: true, value: { state: "succeeded" } };
const lastJob = () => {
  const job = world.jobs.at(-1);
  if (job?.kind !== "backup" && job?.kind !== "restore") throw new Error("another job");
  return job;
};

beforeEach(async () => {
  world = createWorld();
  await addRepository(world);
});

describe("a backup", () => {
  it("takes snapshots in the mode of their disks, and tells the worker which need a token", async () => {
    expect(await backUp(vmOf(true), "20261122T013000Z")).toMatchObject(succeeded);
    expect(
      world.azure.ofType("snapshot").map(({ settings }) => settings.dataAccessAuthMode),
    ).toEqual([dataAccessAuthMode, undefined]);
    expect(lastJob().disks.map(({ needsToken }) => needsToken)).toEqual([true, undefined]);
    expect(await backUp(vmOf(true), "20261123T013000Z")).toMatchObject(succeeded);
    expect(lastJob().disks.map((disk) => [disk.needsToken, "base" in disk])).toEqual([
      [true, true],
      [undefined, true],
    ]);
  });

  it("lets the doctor ask for a snapshot as the job will", async () => {
    expect(await backUp(vmOf(true), "20261122T013000Z")).toMatchObject(succeeded);
    const probes = world.doctorJobs.flatMap((job) => job.probes);
    const asked = probes.filter(({ kind }) => kind === "disk").map(({ needsToken }) => needsToken);
    expect(asked).toContain(true);
    expect(probes.filter(({ kind }) => kind !== "disk").some((probe) => probe.needsToken)).toBe(
      false,
    );
  });

  it.each([
    ["on", false],
    ["off", true],
  ])("reads everything once after the mode was switched %s", async (_, before) => {
    expect(await backUp(vmOf(before), "20261122T013000Z")).toMatchObject(succeeded);
    expect(await backUp(vmOf(!before), "20261123T013000Z")).toMatchObject(succeeded);
    expect(lastJob().disks.map((disk) => [disk.needsToken, "base" in disk])).toEqual([
      [before ? undefined : true, false],
      [undefined, true],
    ]);
    const id = `backup-${createTestVm().vmId}-20261123T013000Z-manual`;
    const { plan } = await world.context.records.sessions.get(id);
    expect(plan?.[0]?.reason).toBe("the base snapshot has another data access mode");
    expect(await backUp(vmOf(!before), "20261124T013000Z")).toMatchObject(succeeded);
    expect(lastJob().disks.every((disk) => "base" in disk)).toBe(true);
  });
});

describe("a restore", () => {
  it("makes a disk in the mode from its first moment on, and it keeps it", async () => {
    const vm = vmOf(true);
    await backUp(vm, "20261122T013000Z");
    const restorePointId = `${vm.vmId}-20261122T013000Z-manual`;
    await world.context.records.sessions.insert("restore-1", {
      sessionId: "restore-1",
      type: "restore",
      state: "running",
      trigger: "manual",
      startedAt: world.context.clock().toISOString(),
      restorePointId,
      restoreRequest: { restorePointId, vmName: "web-restored" },
    });
    const uploads: DiskSettings[] = [];
    const succeed = world.work;
    world.work = (job) => {
      uploads.push(...world.azure.ofType("disk").map(({ settings }) => settings));
      return succeed(job);
    };
    const outcome = await world.driver.run(ORCHESTRATORS.restoreVm, "restore-1", {
      sessionId: "restore-1",
      settings: world.context.config.run,
    });
    expect(outcome).toMatchObject(succeeded);
    expect(lastJob().disks.map(({ needsToken }) => needsToken)).toEqual([true, undefined]);
    const modes = [dataAccessAuthMode, undefined];
    expect(uploads.map((each) => each.dataAccessAuthMode)).toEqual(modes);
    const restored = world.azure.ofType("disk").map(({ settings }) => settings.dataAccessAuthMode);
    expect(restored).toEqual(modes);
  });
});
