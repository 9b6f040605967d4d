import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  diskAccessNameOf,
  diskPoolKeyOf,
  diskPoolNamesOf,
  planDiskAccesses,
  spreadOver,
  SLOTS_PER_DISK_ACCESS,
  type DiskAccessFacts,
  type DiskEndpointFacts,
} from "#core/network/plan-disk-accesses.ts";

const poolName = "holdfast-westeurope-1";
const endpoint: DiskEndpointFacts = {
  endpointId: "/subscriptions/s/endpoints/1",
  provisioning: "succeeded",
  connection: "Approved",
  isOwn: true,
  isElsewhere: false,
  zoneGroup: "succeeded",
};

function access(
  number: number,
  fields: Partial<DiskAccessFacts["existing"][number]> = {},
): DiskAccessFacts["existing"][number] {
  const name = `${poolName}-${String(number).padStart(2, "0")}`;
  return { name, provisioning: "succeeded", endpoint, ...fields };
}

function plan(slots: number, facts: Partial<DiskAccessFacts> = {}) {
  const all = {
    existing: [],
    retiring: [],
    accessesMax: 30,
    privateDns: "manage" as const,
    ...facts,
  };
  return planDiskAccesses(all, { slots, poolName });
}

const kinds = (slots: number, facts: Partial<DiskAccessFacts>) =>
  plan(slots, facts).actions.map(({ kind, name }) => [kind, name.slice(-2)]);

describe("disk accesses of a pool", () => {
  it("needs none for no export and one for each five", () => {
    expect(plan(0)).toMatchObject({ actions: [], ready: true, neededCount: 0 });
    expect(kinds(5, {})).toEqual([["create-disk-access", "01"]]);
    expect(kinds(6, {})).toEqual([
      ["create-disk-access", "01"],
      ["create-disk-access", "02"],
    ]);
  });

  it("makes its endpoint and then its zone group, one after the other", () => {
    const cases = [
      [{ endpoint: undefined }, "create-disk-endpoint"],
      [{ endpoint: { ...endpoint, provisioning: "failed" } }, "create-disk-endpoint"],
      [{ endpoint: { ...endpoint, connection: "Disconnected" } }, "delete-disk-endpoint"],
      [{ endpoint: { ...endpoint, isElsewhere: true } }, "delete-disk-endpoint"],
      [{ endpoint: { ...endpoint, zoneGroup: undefined } }, "create-disk-zone-group"],
      [{ endpoint: { ...endpoint, zoneGroup: "failed" } }, "create-disk-zone-group"],
      [{ provisioning: "failed", endpoint: undefined }, "create-disk-access"],
    ] as const;
    for (const [fields, kind] of cases)
      expect(kinds(5, { existing: [access(1, fields)] })).toEqual([[kind, "01"]]);
  });

  it("waits for what is under way and for approval", () => {
    const cases = [
      [{ provisioning: "pending", endpoint: undefined }, "disk access"],
      [{ endpoint: { ...endpoint, provisioning: "pending" } }, "private endpoint of"],
      [{ endpoint: { ...endpoint, connection: "Pending" } }, "approval of the private endpoint"],
      [{ endpoint: { ...endpoint, zoneGroup: "pending" } }, "DNS records"],
    ] as const;
    for (const [fields, text] of cases) {
      const found = plan(5, { existing: [access(1, fields)] });
      expect(found).toMatchObject({ ready: false, actions: [], usable: [] });
      expect(found.waitingFor).toEqual([expect.stringContaining(text)]);
    }
  });

  it("leaves the names to whoever owns the zones", () => {
    const existing = [access(1, { endpoint: { ...endpoint, zoneGroup: undefined } })];
    expect(plan(5, { existing, privateDns: "verify" })).toMatchObject({ ready: true });
  });

  it("says which connection somebody refused, and what to do", () => {
    for (const connection of ["Rejected", "Disconnected"] as const) {
      const refused = { ...endpoint, connection, isOwn: false };
      const found = plan(5, { existing: [access(1, { endpoint: refused })] });
      expect(found).toMatchObject({ ready: false, actions: [], usable: [] });
      expect(found.refusals).toEqual([expect.stringContaining(`is ${connection}: approve it`)]);
    }
  });

  it("says that jobs wait where the setting allows fewer", () => {
    const found = plan(11, { accessesMax: 2 });
    expect(found.neededCount).toBe(2);
    expect(found.bounded).toContain("HOLDFAST_DISK_ACCESSES_MAX allows 2");
    expect(plan(10, { accessesMax: 2 }).bounded).toBeUndefined();
  });

  it("begins nothing on a disk access that is going, and does not take its name", () => {
    const facts = { existing: [access(1), access(2)], retiring: [access(1).name] };
    expect(plan(5, facts)).toMatchObject({ ready: true, usable: [access(2).name] });
    expect(kinds(10, facts)).toEqual([["create-disk-access", "03"]]);
  });

  const anyAccess = fc.record({
    provisioning: fc.constantFrom("pending", "succeeded", "failed"),
    endpoint: fc.option(
      fc.record({
        endpointId: fc.constant("e"),
        provisioning: fc.constantFrom("pending", "succeeded", "failed"),
        connection: fc.constantFrom("Approved", "Pending", "Rejected", "Disconnected"),
        isOwn: fc.boolean(),
        isElsewhere: fc.boolean(),
        zoneGroup: fc.option(fc.constantFrom("pending", "succeeded", "failed"), { nil: undefined }),
      }),
      { nil: undefined },
    ),
  });
  const anyFacts = fc
    .record({
      pool: fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 12 }),
      parts: fc.array(anyAccess, { minLength: 12, maxLength: 12 }),
      retired: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 4 }),
      accessesMax: fc.integer({ min: 1, max: 12 }),
    })
    .map(({ pool, parts, retired, accessesMax }): DiskAccessFacts => ({
      existing: pool.map((number, index) => access(number, parts[index])),
      retiring: retired.map((number) => access(number).name),
      accessesMax,
      privateDns: "manage",
    }));

  it("uses what exists before it creates, never more than allowed, never a name twice", () => {
    fc.assert(
      fc.property(anyFacts, fc.nat(80), (facts, slots) => {
        const { actions, neededCount } = planDiskAccesses(facts, { slots, poolName });
        const names = new Set(facts.existing.map(({ name }) => name));
        const kept = facts.existing.filter(({ name }) => !facts.retiring.includes(name));
        const made = actions.filter(({ name }) => !names.has(name));
        expect(made.length).toBe(Math.max(0, neededCount - kept.length));
        expect(neededCount).toBeLessThanOrEqual(facts.accessesMax);
        expect(neededCount * SLOTS_PER_DISK_ACCESS).toBeGreaterThanOrEqual(
          Math.min(slots, facts.accessesMax * SLOTS_PER_DISK_ACCESS),
        );
        expect(new Set(actions.map(({ name }) => name)).size).toBe(actions.length);
        for (const { name } of actions) expect(facts.retiring).not.toContain(name);
      }),
    );
  });

  it("wants for more exports all that it wants for fewer", () => {
    fc.assert(
      fc.property(anyFacts, fc.nat(60), fc.nat(20), (facts, slots, more) => {
        const fewer = planDiskAccesses(facts, { slots, poolName });
        const larger = planDiskAccesses(facts, { slots: slots + more, poolName });
        const keys = larger.actions.map(({ kind, name }) => `${kind} ${name}`);
        for (const { kind, name } of fewer.actions) expect(keys).toContain(`${kind} ${name}`);
        expect(larger.waitingFor).toEqual(expect.arrayContaining([...fewer.waitingFor]));
        expect(larger.neededCount).toBeGreaterThanOrEqual(fewer.neededCount);
      }),
    );
  });

  it("has enough once everything that it asked for was done", () => {
    fc.assert(
      fc.property(fc.nat(80), fc.integer({ min: 1, max: 20 }), (slots, accessesMax) => {
        const { actions, neededCount } = plan(slots, { accessesMax });
        const existing = actions.map(({ name }) => ({ ...access(1), name }));
        const after = plan(slots, { existing, accessesMax });
        expect(after).toMatchObject({ ready: true, actions: [] });
        expect(after.usable.length).toBe(neededCount);
      }),
    );
  });
});

describe("spreading new snapshots", () => {
  it("is even, in turn, and the same for the same job", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(60), fc.string(), (size, count, jobId) => {
        const accesses = Array.from({ length: size }, (_, index) => `a-${index}`);
        const spread = spreadOver(accesses, { count, jobId });
        expect(spread).toEqual(spreadOver(accesses, { count, jobId }));
        const counts = accesses.map((each) => spread.filter((found) => found === each).length);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it("is refused without a disk access", () => {
    expect(() => spreadOver([], { count: 1, jobId: "j" })).toThrow("no disk access");
  });
});

describe("names of a pool", () => {
  const config = {
    controlPlaneId: "CP",
    workerResourceGroupId: "/subscriptions/workers/resourceGroups/holdfast-workers-rg",
  };

  it("puts disk accesses into the snapshots' subscription and endpoints beside the workers", () => {
    const names = diskPoolNamesOf(config, { location: "westeurope", subscriptionId: "OTHER" });
    expect(names.diskAccessIdOf("a")).toBe(
      "/subscriptions/other/resourceGroups/holdfast-workers-rg/providers/Microsoft.Compute/diskAccesses/a",
    );
    expect(names.endpointIdOf("a")).toBe(
      "/subscriptions/workers/resourceGroups/holdfast-workers-rg/providers/Microsoft.Network/privateEndpoints/a-endpoint",
    );
  });

  it("knows its own disk accesses by their ids only", () => {
    const names = diskPoolNamesOf(config, { location: "westeurope", subscriptionId: "OTHER" });
    const name = `${names.poolName}-01`;
    expect(diskAccessNameOf(names, names.diskAccessIdOf(name).toUpperCase())).toBeUndefined();
    expect(diskAccessNameOf(names, names.diskAccessIdOf(name))).toBe(name);
    expect(diskAccessNameOf(names, names.diskAccessIdOf("theirs"))).toBeUndefined();
    expect(diskAccessNameOf(names, `/subscriptions/x/${name}`)).toBeUndefined();
    expect(diskAccessNameOf(names, undefined)).toBeUndefined();
  });

  it("differ by subscription, region and control plane, not by case", () => {
    const name = (location: string, subscriptionId: string, controlPlaneId = "CP") =>
      diskPoolNamesOf({ ...config, controlPlaneId }, { location, subscriptionId }).poolName;
    const all = [name("a", "s"), name("b", "s"), name("a", "t"), name("a", "s", "other")];
    expect(new Set(all).size).toBe(4);
    expect(name("a", "S", "cp")).toBe(name("a", "s"));
    expect(diskPoolKeyOf({ location: "a", subscriptionId: "S" })).toBe("a~s");
  });
});
