/** Every byte, every length and every object of two very small repositories (`damage-scene.ts`). */
import { describe, expect, it } from "vitest";
import {
  DiskPointReader,
  createRepository,
  readVmPoint,
  type Repository,
  type RepositorySecret,
} from "#core/repository/index.ts";
import { encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { recordQuarantine } from "#core/repository/quarantine.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { SECTOR, TestDisk, backUp, seededRandom, signal } from "../fixtures.ts";
import { commitVm } from "./check-fixture.ts";
import {
  contentOf,
  cutEverywhere,
  expectSound,
  flipContent,
  flipEverywhere,
  loseEach,
  type DamageScene,
} from "./damage-scene.ts";

/** Half a minute of computing where nothing else runs. */
const ON_A_BUSY_MACHINE_MS = 300_000;

/** Opening by a recovery key takes no time. */
const recoveryKey = encodeRecoveryKey(seededRandom("recovery")(32));
const secrets = {
  encrypted: { kind: "recovery-key", recoveryKey },
  open: { kind: "none" },
} as const;

async function sceneOf(secret: RepositorySecret, disk: TestDisk): Promise<DamageScene> {
  const store = new MemoryStore();
  const options = { encryption: secret, random: seededRandom("tiny"), now: new Date(0) };
  const repository = await createRepository(store, options, signal);
  const written = await backUp(repository, disk, "p1", disk.full());
  const { reference, manifest } = written;
  await commitVm(repository, "p1", [written]);
  const content = await contentOf(await DiskPointReader.open(repository, reference, signal));
  expect(content.length).toBeGreaterThan(4096);
  const restore = async (opened: Repository) => {
    const { disks } = await readVmPoint(opened, "vm-1", "p1", signal);
    const [first] = disks;
    if (first === undefined) throw new Error("a point without a disk");
    const reader = await DiskPointReader.open(opened, first.diskPoint, signal);
    if (!content.equals(await contentOf(reader))) throw new Error("wrong bytes");
  };
  // Descriptor and key slots belong to no VM.
  const vmIdsOf = (name: string) => (/^(?:keys\/|repo\.json)/.test(name) ? [] : ["vm-1"]);
  const rootNames = new Set([`disks/disk-1/indexes/${manifest.root?.indexId}.index`]);
  return { store, repository, secret, rootNames, restore, vmIdsOf };
}

async function encrypted(): Promise<DamageScene> {
  // 2 blocks and a short one: zstd, zero, raw.
  const disk = new TestDisk(2 * 4096 + SECTOR);
  disk.write(0, Buffer.alloc(4096, "compressible "));
  disk.write(16, seededRandom("raw")(SECTOR));
  const scene = await sceneOf(secrets.encrypted, disk);
  const record = { diskId: "disk-1", foundAt: new Date(0), foundBy: "j", level: "complete" };
  const objects = [{ kind: "pack", id: "ee".repeat(16), frames: "all" }] as const;
  await recordQuarantine(scene.repository, { ...record, objects }, seededRandom("q"), signal);
  return scene;
}

async function open(): Promise<DamageScene> {
  const disk = new TestDisk(4096);
  disk.write(0, Buffer.alloc(4096, "in the open "));
  return sceneOf(secrets.open, disk);
}

describe.each([
  { kind: "an encrypted", make: encrypted, leastFlips: 9000 },
  { kind: "an unencrypted", make: open, leastFlips: 6000 },
])("$kind repository", ({ make, leastFlips }) => {
  it(
    "detects and names flipped bits in every byte of every object",
    async () => {
      const scene = await make();
      await expectSound(scene);
      expect(await flipEverywhere(scene)).toBeGreaterThan(leastFlips);
      await flipContent(scene);
    },
    ON_A_BUSY_MACHINE_MS,
  );

  it(
    "detects and names every truncation of every object",
    async () => {
      await cutEverywhere(await make());
    },
    ON_A_BUSY_MACHINE_MS,
  );

  it("detects and names the loss of every object", async () => {
    await loseEach(await make());
  });
});
