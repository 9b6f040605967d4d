/** Backups of VMs that are not as expected, and snapshots that Azure does not take. */
import { beforeEach, describe, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import type { SnapshotRequest } from "#core/ports/compute.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

let world: World;

beforeEach(async () => {
  world = createWorld();
  await addRepository(world);
});

function addVm(vm: VmConfiguration = createTestVm()): VmConfiguration {
  world.azure.vms.set(vm.resourceId, vm);
  return vm;
}

async function backUp(vm: VmConfiguration, startedBy = "manual", day = 22) {
  const sessionId = `backup-${vm.vmId}-202611${day}T013000Z-${startedBy}`;
  await world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
    sessionId,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "schedule",
    policyId: startedBy,
    forceFull: false,
    settings: world.context.config.run,
  });
  return world.context.records.sessions.get(sessionId);
}

const sweep = (id: string): Promise<unknown> =>
  world.driver.run(ORCHESTRATORS.sweep, id, { settings: world.context.config.run });

function failSnapshot(isBroken: (snapshotId: string, call: number) => boolean, error: Error): void {
  const { compute } = world.azure;
  const start = compute.startSnapshot.bind(compute);
  let calls = 0;
  Object.assign(compute, {
    async startSnapshot(request: SnapshotRequest): Promise<void> {
      if (isBroken(request.snapshotId, calls++)) throw error;
      await start(request);
    },
  });
}

describe("a VM that is not as expected", () => {
  it("was deleted after its policy chose it: the session says so, nothing is made", async () => {
    const session = await backUp(createTestVm());
    expect([session.state, session.error?.code]).toEqual(["failed", "VmNotFound"]);
    expect(session.reason).toContain("does not exist any more");
    expect(world.azure.resources.size).toBe(0);
    expect(await collect(world.context.records.claims.list())).toEqual([]);
  });

  it("is deleted while its backup runs: the snapshots are enough", async () => {
    const vm = addVm();
    world.sabotage = (name) => {
      if (name === "plan-backup") world.azure.vms.clear();
      return undefined;
    };
    expect((await backUp(vm)).state).toBe("succeeded");
  });

  it("has no data disks", async () => {
    const vm = addVm({ ...createTestVm(), dataDisks: [] });
    expect((await backUp(vm)).plan).toHaveLength(1);
    expect(world.azure.ofType("snapshot")).toHaveLength(1);
  });

  it("lies in a resource group that Azure writes in another case", async () => {
    const upper = (id: string): string =>
      id.replace("/resourceGroups/shop/", "/resourceGroups/SHOP-RG/");
    const plain = createTestVm();
    const vm: VmConfiguration = {
      ...plain,
      resourceId: upper(plain.resourceId),
      osDisk: { ...plain.osDisk, resourceId: upper(plain.osDisk.resourceId) },
      dataDisks: plain.dataDisks.map((disk) => ({ ...disk, resourceId: upper(disk.resourceId) })),
    };
    addVm(vm);
    expect((await backUp(vm)).state).toBe("succeeded");
    // Listings answer ids in any case: the bases must be known again.
    for (const found of world.azure.ofType("snapshot")) {
      const { id } = found;
      world.azure.resources.delete(id);
      world.azure.resources.set(id, { ...found, id: id.replace("SHOP-RG", "shop-rg") });
    }
    await sweep("sweep-1");
    expect(world.azure.ofType("snapshot")).toHaveLength(2);
    expect((await backUp(vm, "manual", 23)).plan?.map(({ kind }) => kind)).toEqual([
      "incremental",
      "incremental",
    ]);
  });

  it("is covered by two policies at one slot: one backs up, the other tells why not", async () => {
    const vm = addVm();
    let second: Awaited<ReturnType<typeof backUp>> | undefined;
    world.sabotage = async (name) => {
      if (name === "plan-backup" && second === undefined) second = await backUp(vm, "p-2");
      return undefined;
    };
    const first = await backUp(vm, "p-1");
    expect([first.state, second?.state]).toEqual(["succeeded", "skipped"]);
    expect(second?.reason).toBe(`session ${first.sessionId} is backing up this VM`);
    expect(world.jobs).toHaveLength(1);
  });
});

describe("a snapshot that Azure does not take", () => {
  const tooMany = new HoldfastError(
    "TooManyRequests",
    "Azure refused to create snapshot web-0: too many snapshots of this disk in 5 minutes.",
    { retry: "backoff" },
  );

  it("fails the session with Azure's words, and the other disk's snapshot goes", async () => {
    const vm = addVm();
    failSnapshot((id) => id.includes("web-0"), tooMany);
    const session = await backUp(vm);
    expect(session).toMatchObject({
      state: "failed",
      error: { code: "TooManyRequests", message: tooMany.message },
    });
    expect(world.driver.calls.filter(({ name }) => name === "start-snapshots")).toHaveLength(6);
    expect(world.azure.ofType("snapshot")).toEqual([]);
    expect(world.jobs).toEqual([]);
  });

  it("is asked for again while that may help", async () => {
    const vm = addVm();
    failSnapshot((_id, call) => call < 3, tooMany);
    expect((await backUp(vm)).state).toBe("succeeded");
    expect(world.azure.ofType("snapshot")).toHaveLength(2);
  });

  it("that was accepted and then failed fails the session too", async () => {
    const vm = addVm();
    const { compute } = world.azure;
    const read = compute.readSnapshot.bind(compute);
    Object.assign(compute, {
      readSnapshot: async (id: string) => {
        const state = await read(id);
        if (state === undefined || !id.includes("web-os")) return state;
        return { ...state, provisioning: "failed" as const };
      },
    });
    const session = await backUp(vm);
    expect([session.state, session.error?.code]).toEqual(["failed", "SnapshotFailed"]);
    expect(world.azure.ofType("snapshot")).toEqual([]);
  });
});

describe("a repository that does not open", () => {
  it.each(["WrongRepositoryPassword", "ContainerNotFound"])(
    "%s: the session fails with it, and the next backup goes on from the same base",
    async (code) => {
      const vm = addVm();
      const good = world.work;
      await backUp(vm, "manual", 22);
      world.work = ({ jobId, attempt }) => ({
        kind: "job-failed",
        jobId,
        attempt,
        error: { code, message: "the repository does not open", retry: "never" },
      });
      const failed = await backUp(vm, "manual", 23);
      expect([failed.state, failed.error?.code]).toEqual(["failed", code]);
      expect(world.azure.ofType("snapshot")).toHaveLength(2);
      expect(world.azure.liveSas.size).toBe(0);
      world.work = good;
      const next = await backUp(vm, "manual", 24);
      expect(next.plan?.map(({ kind }) => kind)).toEqual(["incremental", "incremental"]);
    },
  );

  it("whose secret was removed from the app fails with the setting's name", async () => {
    const vm = addVm();
    await world.context.records.repositories.update("r-1", (repository) => ({
      ...repository,
      encryption: { kind: "password", secretName: "gone" },
    }));
    const session = await backUp(vm);
    expect([session.state, session.error?.code]).toEqual(["failed", "SecretNotFound"]);
    expect(session.reason).toContain("HOLDFAST_SECRET_GONE");
    expect(world.azure.ofType("snapshot")).toEqual([]);
    expect(world.azure.ofType("worker")).toEqual([]);
  });
});
