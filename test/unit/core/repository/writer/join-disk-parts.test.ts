import { describe, expect, it } from "vitest";
import { BlockMap } from "#core/repository/block-map.ts";
import { collectGarbage, readDiskPoint } from "#core/repository/index.ts";
import { objectNames } from "#core/repository/format/layout.ts";
import { backUp, failureOf, restore, seededRandom, signal } from "../fixtures.ts";
import { DISK, joinParts, namesOf, scene, writePart } from "./parts-world.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

describe("the join refuses, and reading the whole disk still works,", () => {
  type Scene = Awaited<ReturnType<typeof scene>>;
  const cases: {
    readonly when: string;
    readonly spoil: (scene: Scene) => unknown;
  }[] = [
    {
      when: "a part is missing",
      spoil: ({ store }) => store.objects.delete(namesOf(store, "-part-")[1]!),
    },
    {
      when: "no part is there",
      spoil: ({ store }) => namesOf(store, "-part-").map((name) => store.objects.delete(name)),
    },
    {
      when: "the record of a part is damaged",
      spoil: ({ store }) => (store.objects.get(namesOf(store, "-part-")[0]!)!.bytes[70]! ^= 1),
    },
    {
      when: "a root of a part is damaged",
      spoil: ({ store }) => {
        for (const name of namesOf(store, "/indexes/")) store.objects.get(name)!.bytes[80]! ^= 1;
      },
    },
    {
      when: "a pack of a part is gone",
      spoil: ({ store }) => store.objects.delete(namesOf(store, "/packs/")[3]!),
    },
    {
      when: "another backup committed a point meanwhile",
      spoil: ({ repository, disk }) => backUp(repository, disk, "other", disk.full()),
    },
    {
      when: "a pack of a part was marked as garbage",
      spoil: ({ repository }) => {
        const now = () => new Date(30 * DAY_MS);
        return collectGarbage(repository, { now, random: seededRandom("collector") }, signal);
      },
    },
    {
      when: "a garbage list cannot be read",
      spoil: ({ store }) =>
        store.create(objectNames.garbageList(DISK, 1), Buffer.from("no list"), signal),
    },
  ];

  it.each(cases)("when $when", async ({ spoil }) => {
    const made = await scene();
    const { repository, disk, backup, parts } = made;
    for (const part of parts) await writePart(backup, part);
    await spoil(made);
    expect(await failureOf(joinParts(backup, parts))).toBe("DiskPartsUnusable");
    const random = seededRandom("fallback");
    const whole = await backUp(repository, disk, "p1", disk.full(), { random });
    expect((await restore(repository, whole.reference)).equals(disk.bytes)).toBe(true);
  });

  it.each([
    { when: "leave a gap", first: [0, 3], drop: -1 },
    { when: "do not reach the end", first: [0, 2, 3], drop: 2 },
  ])("when the asked parts $when", async ({ drop }) => {
    const { backup, parts } = await scene();
    for (const part of parts) await writePart(backup, part);
    const asked = drop < 0 ? [parts[0]!, parts[2]!] : parts.slice(0, drop);
    expect(await failureOf(joinParts(backup, asked))).toBe("DiskPartsUnusable");
  });

  it("when parts were sealed by two keys", async () => {
    const { store, backup, parts } = await scene();
    await writePart(backup, parts[0]!);
    store.objects.delete(objectNames.attempt(DISK, 1));
    for (const part of parts.slice(1)) await writePart({ ...backup, process: "two" }, part);
    expect(await failureOf(joinParts(backup, parts))).toBe("DiskPartsUnusable");
  });

  it("when the parent is not the newest point any more", async () => {
    const { repository, store, disk, backup, parts } = await scene();
    await backUp(repository, disk, "p0", disk.full());
    for (const part of parts) await writePart(backup, part);
    store.objects.delete(objectNames.diskPoint(DISK, 1));
    expect(await failureOf(joinParts(backup, parts))).toBe("DiskPartsUnusable");
    await backUp(repository, disk, "p0", disk.full(), { random: seededRandom("again") });
    expect(await failureOf(joinParts(backup, parts))).toBe("DiskPartsUnusable");
  });
});

describe("the join", () => {
  it("takes the disk's lock, which parts do not need", async () => {
    const { store, backup, parts } = await scene();
    const held = await store.lock(objectNames.diskLock(DISK), signal);
    for (const part of parts) await writePart(backup, part);
    let waits = 0;
    const wait = async (): Promise<void> => {
      if (++waits === 2) await held?.release();
    };
    await joinParts(backup, parts, { wait });
    expect(waits).toBe(2);
    expect(await store.lock(objectNames.diskLock(DISK), signal)).toBeDefined();
  });

  it("by two coordinators at once gives both the same point", async () => {
    const { backup, parts } = await scene();
    for (const part of parts) await writePart(backup, part);
    const joins = ["one", "two"].map((process) => joinParts({ ...backup, process }, parts));
    const [left, right] = await Promise.all(joins);
    expect(left?.reference).toEqual(right?.reference);
  });

  it("loses to another backup that commits first without a lock, and harms nothing", async () => {
    const { repository, disk, backup, parts } = await scene();
    for (const part of parts) await writePart(backup, part);
    const other = backUp(repository, disk, "other", disk.full(), { random: seededRandom("o") });
    const outcomes = await Promise.all([failureOf(joinParts(backup, parts)), failureOf(other)]);
    expect(outcomes.filter((outcome) => outcome === "no failure")).toHaveLength(1);
    const point = await readDiskPoint(repository, DISK, 1, signal);
    expect((await restore(repository, point.reference)).equals(disk.bytes)).toBe(true);
  });

  it("leaves records that garbage collection takes away, and a point that it spares", async () => {
    let nowMs = 0;
    const { store, repository, disk, backup, parts } = await scene(() => new Date(nowMs));
    for (const part of parts) await writePart(backup, part);
    const { reference } = await joinParts(backup, parts);
    for (let run = 0; run < 3; run++) {
      nowMs += 8 * DAY_MS;
      const now = () => new Date(nowMs);
      await collectGarbage(repository, { now, random: seededRandom(`${run}`) }, signal);
    }
    expect(namesOf(store, "/attempts/")).toEqual([]);
    const point = await readDiskPoint(repository, DISK, 1, signal);
    const { root } = await BlockMap.open(repository, point, signal);
    expect(namesOf(store, "/indexes/")).toHaveLength(root.indexes.size + 1);
    expect((await restore(repository, reference)).equals(disk.bytes)).toBe(true);
  });
});
