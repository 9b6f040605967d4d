import { expect, it } from "vitest";
import { protectKeys, rotateRepositoryKey } from "#core/repository/index.ts";
import { password, signal } from "../fixtures.ts";
import { VmWorld, range } from "./vm-world.ts";

const day = (text: string) => new Date(`${text}T00:00:00Z`);

async function protectedUntil(world: VmWorld): Promise<Record<string, string | undefined>> {
  const names = [...world.store.objects.keys()].filter((name) =>
    /^(?:keys|repo|README)/.test(name),
  );
  return Object.fromEntries(
    names.map((name) => {
      const until = world.store.objects.get(name)?.immutableUntil;
      const shown = name.replace(/[0-9a-f]{32}/, "<key>").replace(/-[0-9a-f]{8}\.json/, ".json");
      return [shown, until?.toISOString().slice(0, 10)];
    }),
  );
}

async function worldWith(immutableUntil: Date | undefined): Promise<VmWorld> {
  const world = await VmWorld.create();
  const image = world.change(undefined, "first", range(0, 4));
  const options = immutableUntil === undefined ? {} : { immutableUntil };
  await world.backUp({ pointId: "p1", image, ...options });
  return world;
}

it("lets keys and descriptor outlive the point that is immutable for longest", async () => {
  const world = await worldWith(day("2026-04-05"));
  const image = world.change("p1", "second", range(0, 1));
  await world.backUp({ pointId: "p2", image, immutableUntil: day("2026-03-15") });
  expect(await protectKeys(world.through(), signal)).toEqual({ extendedObjects: 3 });
  const end = [...world.store.objects]
    .find(([name]) => name === "vms/vm-1/points/p1.manifest")?.[1]
    .immutableUntil?.toISOString()
    .slice(0, 10);
  expect(end).toBe("2026-04-07");
  expect(await protectedUntil(world)).toEqual({
    "README.txt": end,
    "keys/<key>/password-1.json": end,
    "repo.json": end,
  });
  // Nothing to do until a later point comes.
  expect(await protectKeys(world.through(), signal)).toEqual({ extendedObjects: 0 });
  await world.backUp({ pointId: "p3", image, immutableUntil: day("2026-06-01") });
  expect(await protectKeys(world.through(), signal)).toEqual({ extendedObjects: 3 });
});

it("leaves a repository alone that is used without immutability, or cannot have it", async () => {
  const world = await worldWith(undefined);
  expect(await protectKeys(world.through(), signal)).toEqual({ extendedObjects: 0 });
  const other = await worldWith(day("2026-04-05"));
  other.store.capabilities = { immutability: false, archiveTier: false };
  expect(await protectKeys(other.through(), signal)).toEqual({ extendedObjects: 0 });
});

it("protects the slots and the rewrap object of the current key, not those of former ones", async () => {
  const world = await worldWith(day("2026-04-05"));
  const locked = world.store.objects.get("repo.json");
  const former = [...world.store.objects.keys()].find((name) => name.endsWith("password-1.json"));
  if (former === undefined || locked === undefined) throw new Error("no slot");
  const slot = world.store.objects.get(former);
  const options = { secrets: [password], random: world.random(), now: world.now(), scryptLogN: 10 };
  const { repository } = await rotateRepositoryKey(world.through(), options, signal);
  // A former slot that could not be deleted.
  if (slot !== undefined) world.store.objects.set(former, slot);
  await protectKeys(repository, signal);
  expect(await protectedUntil(world)).toEqual({
    "README.txt": "2026-04-07",
    "keys/<key>/password-1.json": undefined,
    "keys/<key>/password.json": "2026-04-07",
    "keys/<key>/rewrap.manifest": "2026-04-07",
    "repo.json": "2026-04-07",
  });
});
