import { expect, it } from "vitest";
import { inlineBlockCodec } from "#core/repository/codec/block-codec.ts";
import { DiskDefects, FindingList, KEPT_FINDINGS_MAX } from "#core/repository/check/findings.ts";
import { reportDisk } from "#core/repository/check/report-disk.ts";
import { objectNames } from "#core/repository/format/layout.ts";
import type { CheckedDisk } from "#core/repository/check/check-disk.ts";
import { DamageRecorder } from "#core/repository/check/damage-recorder.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { newRepository, seededRandom, signal } from "../fixtures.ts";

const pointIdOf = (number: number) => `p${number}`;
const pointOf = (number: number) => ({ vmId: "vm-1", pointId: pointIdOf(number) });

it("knows every affected point once, also of findings that it only counts", () => {
  const findings = new FindingList();
  const count = KEPT_FINDINGS_MAX + 20;
  for (let each = 0; each < count; each++) {
    const affectedPoints = [pointOf(each), pointOf(0)];
    findings.add({ kind: "missing", object: `o${each}`, affectedPoints, message: "gone" });
  }
  expect(findings.count).toBe(count);
  expect(findings.kept).toHaveLength(KEPT_FINDINGS_MAX);
  expect(findings.affectedPoints).toEqual(Array.from({ length: count }, (_, n) => pointOf(n)));
});

it("knows the points that a disk's defects beyond the bound harm", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const defects = new DiskDefects();
  const add = (object: string, sequence: number, harmsRestores = true): void =>
    defects.add({ kind: "missing", object, message: "gone", harmsRestores }, sequence);
  for (let each = 0; each < 10_000; each++) add(`pack-${each}`, 1);
  add("one more", 2);
  add("one more", 3);
  add("of no restore", 4, false);
  const sequences = [1, 2, 3, 4];
  for (const sequence of sequences) {
    await store.create(objectNames.diskPoint("d", sequence), Buffer.from("x"), signal);
    // The third point goes while the check runs.
    if (sequence === 3) continue;
    await store.create(objectNames.vmPoint("vm-1", pointIdOf(sequence)), Buffer.from("x"), signal);
  }
  const findings = new FindingList();
  const checked: CheckedDisk = {
    points: new Map(sequences.map((sequence) => [sequence, undefined])),
    defects,
    damage: new DamageRecorder(),
  };
  const references = sequences.map((sequence) => ({
    ...pointOf(sequence),
    sequence,
    manifestId: "id",
  }));
  const progress = { checkedObjects: 0, checkedPoints: 0, verifiedBlocks: 0, readBytes: 0 };
  await reportDisk(
    {
      repository,
      options: { level: "presence", samplePercent: 0, random: seededRandom("x") },
      level: { kind: "presence", codec: inlineBlockCodec, choose: () => [] },
      findings,
      progress: { ...progress, tell: () => undefined },
      signal,
    },
    "d",
    checked,
    references,
  );
  expect(findings.affectedPoints).toEqual([pointOf(1), pointOf(2)]);
  expect(findings.count).toBe(10_003);
});
