import { describe, expect, it } from "vitest";
import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { resourceGroupOf } from "#core/model/resource-id.ts";
import type { DiskConfiguration, VmConfiguration } from "#core/model/vm-configuration.ts";
import { readExpectedDiskAccesses } from "#functions/activities/expected-disk-accesses.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { createTestVm, SUBSCRIPTION } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

const POOL = `westeurope~${SUBSCRIPTION}`;
const DAY_MS = 24 * 3600 * 1000;
const HOUR_MS = 3600 * 1000;

function vmWith(diskCount: number, number = 0): VmConfiguration {
  const vmId = `aaaaaaaa-0000-4000-8000-${String(number).padStart(12, "0")}`;
  const vm = createTestVm(`web${number}`, vmId);
  const [first] = vm.dataDisks;
  const dataDisks = Array.from({ length: diskCount - 1 }, (_, slot): DiskConfiguration => ({
    ...first!,
    diskId: `${vmId}-disk-${slot}`,
    resourceId: `${first!.resourceId}-${slot}`,
    name: `${vm.name}-${slot}`,
    slot,
  }));
  return { ...vm, dataDisks };
}

async function prepare(
  vms: readonly VmConfiguration[],
  settings: Record<string, string> = {},
): Promise<World> {
  const world = createWorld(settings);
  for (const vm of vms) world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
  return world;
}

const sessionOf = (vm: VmConfiguration, slot: string) => `backup-${vm.vmId}-${slot}-manual`;

async function backUp(world: World, vm: VmConfiguration, slot = "1"): Promise<unknown> {
  const sessionId = sessionOf(vm, slot);
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

/** So that jobs overlap. */
function workForAMinute(world: World): void {
  const succeed = world.work;
  world.work = (job) => {
    const done = succeed(job);
    if (done !== undefined) world.driver.later(60_000, () => world.send(job.workerId, done));
    return undefined;
  };
}

let sweeps = 0;
async function sweep(world: World): Promise<void> {
  const settings = world.context.config.run;
  await world.driver.run(ORCHESTRATORS.sweep, `sweep-${sweeps++}`, { settings });
}

const workerRequest = {
  nicId: "/nic",
  vmSize: "Standard_F4s_v2",
  image: { kind: "marketplace", urn: "a:b:c:d" },
  osDisk: "ephemeral",
  identityResourceId: "/identity",
} as const;
const holders = (world: World) => world.driver.diskSlots.get(POOL)?.holders ?? [];
const accesses = (world: World) => world.azure.ofType("diskAccess").map(({ id }) => id);
const endpoints = (world: World) =>
  [...world.azure.region.endpoints.values()].filter(({ service }) => service === "disks");
const succeeded = { ok: true, value: { state: "succeeded" } };

describe("disk accesses of a backup", () => {
  it("are made with their endpoint and its names before the first snapshot, and used again", async () => {
    const vm = vmWith(3);
    const world = await prepare([vm]);
    expect(await backUp(world, vm)).toMatchObject(succeeded);
    // Three disks, each with its new snapshot and its base.
    expect(accesses(world)).toHaveLength(2);
    expect(
      endpoints(world)
        .map(({ targetId }) => targetId)
        .sort(),
    ).toEqual(accesses(world).sort());
    expect(endpoints(world).every(({ subnetId }) => subnetId.endsWith("/subnets/workers"))).toBe(
      true,
    );
    expect(
      world.azure.region.made.filter((id) => id.endsWith("-endpoint/privateDnsZoneGroups/default")),
    ).toHaveLength(2);
    for (const { settings } of world.azure.ofType("snapshot"))
      expect(settings.networkAccess).toEqual({
        policy: "AllowPrivate",
        publicAccess: false,
        diskAccessId: expect.stringContaining("/diskAccesses/holdfast-westeurope-"),
      });
    expect(holders(world)).toEqual([]);

    const before = accesses(world);
    const bases = world.azure.ofType("snapshot").map(({ id, settings }) => ({ id, settings }));
    const succeed = world.work;
    let seen: unknown;
    world.work = (job) => {
      seen = bases.map(({ id }) => ({ id, settings: world.azure.resources.get(id)?.settings }));
      return succeed(job);
    };
    expect(await backUp(world, vm, "2")).toMatchObject(succeeded);
    // Where there is room the bases stay on the disk accesses that they were made with.
    expect(seen).toEqual(bases);
    const [, job] = world.jobs;
    expect(job?.kind === "backup" && job.disks.map(({ base }) => base !== undefined)).toEqual([
      true,
      true,
      true,
    ]);
    expect(accesses(world)).toEqual(before);
  });

  it("are those that the plan of the region told before", async () => {
    const vms = [vmWith(2), vmWith(2, 1)];
    const world = await prepare(vms, { HOLDFAST_WORKERS_PER_REGION_MAX: "2" });
    const [expected] = await readExpectedDiskAccesses(world.context, "westeurope");
    expect(accesses(world)).toEqual([]);
    expect(expected?.actions.map(({ kind }) => kind)).toEqual(
      [1, 2].flatMap(() => [
        "create-disk-access",
        "create-disk-endpoint",
        "create-disk-zone-group",
      ]),
    );
    workForAMinute(world);
    await Promise.all(vms.map((vm) => backUp(world, vm)));
    const made = [...accesses(world), ...endpoints(world).map(({ endpointId }) => endpointId)];
    const told = expected?.actions.map(({ resourceId }) => resourceId) ?? [];
    expect(told.filter((id) => !id.includes("/privateDnsZoneGroups/")).sort()).toEqual(made.sort());
    expect(world.azure.region.made).toEqual(
      expect.arrayContaining(told.filter((id) => id.includes("/privateDnsZoneGroups/"))),
    );
    // The workers that are there now are nobody's to back up.
    expect(world.azure.ofType("worker")).toHaveLength(2);
    const [after] = await readExpectedDiskAccesses(world.context, "westeurope");
    expect(after).toMatchObject({ actions: [], neededCount: 2, slots: expected?.slots });
    expect(await readExpectedDiskAccesses(world.context, "northeurope")).toEqual([]);
  });

  it("are not told for workers, wherever a configuration puts them", async () => {
    const world = await prepare([]);
    const { config } = world.context;
    const { subscriptionId } = resourceGroupOf(config.worker.resourceGroupId);
    const id = `/subscriptions/${subscriptionId}/resourceGroups/elsewhere/providers/Microsoft.Compute/virtualMachines/w`;
    const request = { vmResourceId: id, location: "westeurope", priority: "regular" } as const;
    const ours = { [CONTROL_PLANE_TAG]: config.controlPlaneId };
    const others = { [CONTROL_PLANE_TAG]: "another control plane" };
    for (const [tags, count] of [
      [ours, 0],
      [others, 1],
    ] as const) {
      world.azure.resources.delete(id);
      await world.azure.compute.startWorkerVm({ ...workerRequest, ...request, tags });
      expect(await readExpectedDiskAccesses(world.context, "westeurope")).toHaveLength(count);
    }
  });

  it("carry bases that had another disk access or none", async () => {
    const vm = vmWith(2);
    const world = await prepare([vm]);
    await backUp(world, vm);
    const [open, foreign] = world.azure.ofType("snapshot");
    open!.settings = { networkAccess: { policy: "AllowAll", publicAccess: true } };
    foreign!.settings = {
      networkAccess: { policy: "AllowPrivate", publicAccess: false, diskAccessId: "/gone" },
    };
    expect(await backUp(world, vm, "2")).toMatchObject(succeeded);
    const session = await world.context.records.sessions.get(sessionOf(vm, "2"));
    expect(session.plan?.map(({ kind }) => kind)).toEqual(["incremental", "incremental"]);
    expect(holders(world)).toEqual([]);
  });

  it("that would not be enough are refused before any snapshot", async () => {
    const vm = vmWith(6);
    const world = await prepare([vm], { HOLDFAST_DISK_ACCESSES_MAX: "2" });
    expect(await backUp(world, vm)).toMatchObject({ value: { state: "failed" } });
    const { error } = await world.context.records.sessions.get(sessionOf(vm, "1"));
    expect(error).toMatchObject({ code: "DiskAccessLimit" });
    expect(error?.message).toContain("Raise it to 3 or more");
    expect(world.driver.calls.map(({ name }) => name)).not.toContain("start-snapshots");
    expect(accesses(world)).toEqual([]);
  });

  it("whose endpoint somebody refused fail the backup with that text", async () => {
    const vm = vmWith(2);
    const world = await prepare([vm]);
    await backUp(world, vm);
    for (const endpoint of endpoints(world)) endpoint.connection = "Rejected";
    expect(await backUp(world, vm, "2")).toMatchObject({ value: { state: "failed" } });
    const { error } = await world.context.records.sessions.get(sessionOf(vm, "2"));
    expect(error?.message).toMatch(/-01-endpoint to disk access .* is Rejected: approve it/);
    expect(holders(world)).toEqual([]);
    for (const endpoint of endpoints(world)) endpoint.connection = "Approved";
    expect(await backUp(world, vm, "3")).toMatchObject(succeeded);
  });

  it("that somebody deleted are made again, with a new endpoint", async () => {
    const vm = vmWith(2);
    const world = await prepare([vm]);
    await backUp(world, vm);
    for (const id of accesses(world)) world.azure.resources.delete(id);
    for (const endpoint of endpoints(world)) endpoint.connection = "Disconnected";
    expect(await backUp(world, vm, "2")).toMatchObject(succeeded);
    expect(endpoints(world).map(({ connection }) => connection)).toEqual(["Approved"]);
  });

  it("tell what a second subscription lacks", async () => {
    const vm = vmWith(2);
    const world = await prepare([vm]);
    const { compute } = world.azure;
    const refuse = async (): Promise<never> => {
      throw new HoldfastError("ResourceGroupNotFound", "Resource group 'workers' is not there.");
    };
    Object.assign(compute, { startDiskAccess: refuse });
    expect(await backUp(world, vm)).toMatchObject({ value: { state: "failed" } });
    const { error } = await world.context.records.sessions.get(sessionOf(vm, "1"));
    expect(error?.message).toContain(`in subscription ${SUBSCRIPTION}, make the resource group`);
  });

  it("tell which role is missing where they may not even be read", async () => {
    const vm = vmWith(2);
    const world = await prepare([vm]);
    const refuse = (): never => {
      throw new HoldfastError("AuthorizationFailed", "Azure refused.");
    };
    Object.assign(world.azure.compute, { listDiskAccesses: refuse });
    expect(await backUp(world, vm)).toMatchObject({ value: { state: "failed" } });
    const { error } = await world.context.records.sessions.get(sessionOf(vm, "1"));
    expect(error?.message).toContain(`may not read disk accesses: in subscription ${SUBSCRIPTION}`);
    expect(error?.message).toContain("the role 'Holdfast disk accesses'");
  });

  it("tell what to do when Azure connects nothing across subscriptions", async () => {
    const vm = vmWith(2);
    const workers = "/subscriptions/22222222-0000-4000-8000-000000000002/resourceGroups/workers";
    const world = await prepare([vm], { HOLDFAST_WORKER_RESOURCE_GROUP_ID: workers });
    world.azure.region.beforeChange = (id) => {
      if (id.endsWith("-01-endpoint")) throw new HoldfastError("NotTheSame", "Azure said so.");
    };
    expect(await backUp(world, vm)).toMatchObject({ value: { state: "failed" } });
    const { error } = await world.context.records.sessions.get(sessionOf(vm, "1"));
    expect(error).toMatchObject({ code: "NotTheSame" });
    expect(error?.message).toContain(`the disks are in subscription ${SUBSCRIPTION}`);
    expect(error?.message).toContain("HOLDFAST_WORKER_RESOURCE_GROUP_ID");
    expect(error?.message).toContain("Azure said so.");
    expect(holders(world)).toEqual([]);
  });

  it("lose nobody a slot, whichever call fails", async () => {
    const vm = vmWith(3);
    const whole = await prepare([vm]);
    await backUp(whole, vm);
    const names = new Set(whole.driver.calls.map(({ name }) => name));
    for (const name of names) {
      const world = await prepare([vm]);
      const error = { code: "Broken", message: "broken", retry: "never" };
      world.sabotage = (called) => (called === name ? { ok: false, error } : undefined);
      await backUp(world, vm);
      // Access that could not be revoked keeps its slots until the sweep has revoked it.
      const seats = holders(world).flatMap((each) => each.seats);
      expect([name, seats.length > 0]).toEqual([name, name === "revoke-grants"]);
      world.sabotage = () => undefined;
      await sweep(world);
      expect([name, holders(world)]).toEqual([name, []]);
      expect([name, world.azure.liveSas.size]).toEqual([name, 0]);
    }
  });

  it("carry ten VMs of eight disks at once, five exports each, and the next run needs no more", async () => {
    const vms = Array.from({ length: 10 }, (_, index) => vmWith(8, index));
    const world = await prepare(vms);
    workForAMinute(world);
    const runAll = (slot: string) => Promise.all(vms.map((vm) => backUp(world, vm, slot)));
    for (const end of await runAll("1")) expect(end).toMatchObject(succeeded);
    // Five workers in the region, each with a job of sixteen exports.
    expect(accesses(world)).toHaveLength(16);
    for (const end of await runAll("2")) expect(end).toMatchObject(succeeded);
    expect(accesses(world)).toHaveLength(16);
    expect(Math.max(...world.azure.exportPeaks.values())).toBe(5);
    expect(holders(world)).toEqual([]);
    expect(endpoints(world)).toHaveLength(16);
  });

  it("wait for one another where the setting allows fewer", async () => {
    const vms = Array.from({ length: 5 }, (_, index) => vmWith(5, index));
    const world = await prepare(vms, { HOLDFAST_DISK_ACCESSES_MAX: "2" });
    workForAMinute(world);
    for (const slot of ["1", "2"]) {
      const ends = await Promise.all(vms.map((vm) => backUp(world, vm, slot)));
      for (const end of ends) expect(end).toMatchObject(succeeded);
    }
    expect(accesses(world)).toHaveLength(2);
    expect(Math.max(...world.azure.exportPeaks.values())).toBe(5);
    const logs = await Promise.all(
      vms.map((vm) => collect(world.context.records.sessionLog(sessionOf(vm, "2")).list())),
    );
    const told = logs
      .flat()
      .filter(({ value }) => /DISK_ACCESSES_MAX allows 2/.test(value.message));
    expect(told.map(({ value }) => value.level)).toContain("warning");
  });
});

describe("unused disk accesses", () => {
  it("go with their endpoints after the grace time, those of bases stay", async () => {
    const vm = vmWith(8);
    const world = await prepare([vm]);
    await backUp(world, vm);
    expect(accesses(world)).toHaveLength(4);
    const [kept] = world.azure.ofType("snapshot").map((each) => each.settings.networkAccess);
    for (const { settings, id } of world.azure.ofType("snapshot"))
      if (settings.networkAccess.diskAccessId !== kept?.diskAccessId)
        world.azure.resources.delete(id);
    world.driver.now += 7 * DAY_MS - HOUR_MS;
    await sweep(world);
    expect(accesses(world)).toHaveLength(4);
    world.driver.now += 2 * HOUR_MS;
    for (let count = 0; count < 4; count++) await sweep(world);
    expect(accesses(world)).toEqual([kept?.diskAccessId]);
    expect(endpoints(world).map(({ targetId }) => targetId)).toEqual([kept?.diskAccessId]);
    expect(world.driver.diskSlots.get(POOL)?.retiring).toEqual([]);
    expect(await backUp(world, vm, "2")).toMatchObject(succeeded);
    expect(accesses(world)).toHaveLength(4);
  });

  it("stay while a job has announced itself", async () => {
    const vm = vmWith(2);
    const world = await prepare([vm]);
    await backUp(world, vm);
    for (const { id } of world.azure.ofType("snapshot")) world.azure.resources.delete(id);
    world.driver.now += 8 * DAY_MS;
    const { context } = world;
    await context.records.sessions.update(sessionOf(vm, "1"), (each) => ({
      ...each,
      state: "running",
    }));
    const before = world.driver.diskSlots.get(POOL)!;
    const busy = {
      holder: sessionOf(vm, "1"),
      state: "announced" as const,
      slots: 4,
      expiresAt: world.driver.now + DAY_MS,
      wishes: [],
      seats: [],
    };
    world.driver.diskSlots.set(POOL, { ...before, holders: [busy] });
    await sweep(world);
    expect(accesses(world)).toHaveLength(1);
  });
});
