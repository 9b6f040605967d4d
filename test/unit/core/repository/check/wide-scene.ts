/**
 * A small repository with everything in it that the format knows: two disks, an incremental point with
 * inherited leaves under a second data key, an archive and its retrieval, a rotated repository key, a
 * garbage list and a quarantine record.
 */
import { expect } from "vitest";
import {
  DiskPointReader,
  archiveVmPoint,
  createRepository,
  openArchivedDisk,
  readArchive,
  readVmPoint,
  rotateRepositoryKey,
  startRetrieval,
  type Repository,
} from "#core/repository/index.ts";
import { encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { writeGarbageLists } from "#core/repository/maintenance/garbage-lists.ts";
import { recordQuarantine } from "#core/repository/quarantine.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { TestDisk, backUp, seededRandom, signal } from "../fixtures.ts";
import { commitVm } from "./check-fixture.ts";
import { contentOf, type DamageScene } from "./damage-scene.ts";

const BLOCK = 4096;
const SECTORS = 8;
const NOW = new Date("2026-02-03T04:05:06Z");
const ARCHIVE = { vmId: "vm-2", archiveId: "arc" } as const;
const secretOf = (seed: string) =>
  ({ kind: "recovery-key", recoveryKey: encodeRecoveryKey(seededRandom(seed)(32)) }) as const;

/** Disk of two leaves; the second point changes the first leaf, under another data key. */
async function twoPoints(repository: Repository): Promise<void> {
  const disk = new TestDisk(1025 * BLOCK);
  disk.write(0, Buffer.alloc(BLOCK, "first "));
  disk.write(1024 * SECTORS, Buffer.alloc(BLOCK, "inherited "));
  const first = await backUp(repository, disk, "p1", disk.full());
  await commitVm(repository, "p1", [first]);
  disk.takeChanges();
  disk.write(0, Buffer.alloc(BLOCK, "second "));
  const ranges = disk.incremental(first.reference, disk.takeChanges());
  const second = await backUp(repository, disk, "p2", ranges, { rotateDataKey: true });
  expect(second.manifest.dataKeys).toHaveLength(2);
  await commitVm(repository, "p2", [second]);
}

async function archivedPoint(repository: Repository): Promise<void> {
  const disk = new TestDisk(BLOCK);
  disk.write(0, Buffer.alloc(BLOCK, "archived "));
  const written = await backUp(repository, disk, "q1", disk.full(), { diskId: "disk-2" });
  await commitVm(repository, "q1", [written], "vm-2");
  const tools = { random: seededRandom("archive"), now: () => NOW };
  await archiveVmPoint(repository, { ...ARCHIVE, pointId: "q1", ...tools }, signal);
  const retrieval = { retrievalId: "ret", diskIds: ["disk-2"], tier: "hot", priority: "high" };
  await startRetrieval(
    repository,
    { ...ARCHIVE, ...retrieval, tier: "hot", priority: "high", ...tools },
    signal,
  );
}

async function records(repository: Repository): Promise<void> {
  const record = { diskId: "disk-1", foundAt: NOW, foundBy: "j", level: "complete" };
  const objects = [{ kind: "pack", id: "ee".repeat(16), frames: new Set([1]) }] as const;
  await recordQuarantine(repository, { ...record, objects }, seededRandom("q"), signal);
  const garbage = {
    diskId: "disk-1",
    markedAt: NOW,
    objects: [`disks/disk-1/packs/eeeeeeee/${"ee".repeat(16)}.pack`],
    firstNumber: 1,
    random: seededRandom("garbage"),
  };
  await writeGarbageLists(repository, garbage, signal);
}

async function readAll(repository: Repository, name: string): Promise<Buffer> {
  const archived = { ...ARCHIVE, diskId: "disk-2" };
  if (name.startsWith("archives/")) {
    return contentOf(await openArchivedDisk(repository, archived, signal));
  }
  if (name.startsWith("retrievals/")) {
    const reference = { ...archived, retrievalId: "ret" };
    return contentOf(await openArchivedDisk(repository, reference, signal));
  }
  const points = /vm-2|disk-2/.test(name) ? ["vm-2/q1"] : ["vm-1/p1", "vm-1/p2"];
  const contents: Buffer[] = [];
  for (const point of /points\/(p\d)/.test(name)
    ? points.filter((each) => name.includes(each.slice(5)))
    : points) {
    const [vmId = "", pointId = ""] = point.split("/");
    const { disks } = await readVmPoint(repository, vmId, pointId, signal);
    for (const { diskPoint } of disks) {
      contents.push(await contentOf(await DiskPointReader.open(repository, diskPoint, signal)));
    }
  }
  return Buffer.concat(contents);
}

async function rootNamesOf(repository: Repository): Promise<Set<string>> {
  const names = new Set<string>();
  for (const [vmId, pointId] of [
    ["vm-1", "p1"],
    ["vm-1", "p2"],
    ["vm-2", "q1"],
  ] as const) {
    for (const { diskPoint } of (await readVmPoint(repository, vmId, pointId, signal)).disks) {
      const { manifest } = await DiskPointReader.open(repository, diskPoint, signal);
      names.add(`disks/${diskPoint.diskId}/indexes/${manifest.root?.indexId}.index`);
    }
  }
  for (const { image } of (await readArchive(repository, ARCHIVE, signal)).disks) {
    const folder = `archives/vm-2/arc/disks/${image.diskId}`;
    names.add(`${folder}/indexes/${image.root?.indexId}.index`);
  }
  return names;
}

export async function wideScene(): Promise<DamageScene> {
  // A store without tiers, as a copy in a folder is: archived packs can be read, too.
  const store = new MemoryStore();
  store.capabilities = { immutability: false, archiveTier: false };
  const random = seededRandom("wide");
  const first = await createRepository(
    store,
    { encryption: secretOf("first"), random, now: NOW },
    signal,
  );
  await twoPoints(first);
  const secret = secretOf("second");
  const options = { secrets: [secret], random, now: NOW };
  const { repository } = await rotateRepositoryKey(first, options, signal);
  await archivedPoint(repository);
  await records(repository);
  const contents = new Map<string, Buffer>();
  for (const name of store.objects.keys()) contents.set(name, await readAll(repository, name));
  return {
    store,
    repository,
    secret,
    rootNames: await rootNamesOf(repository),
    restore: async (opened, name) => {
      if (contents.get(name)?.equals(await readAll(opened, name)) !== true) throw new Error(name);
    },
    vmIdsOf: (name) => {
      if (/^(?:keys\/|repo\.json)/.test(name)) return [];
      return /vm-2|disk-2|^retrievals/.test(name) ? ["vm-2"] : ["vm-1"];
    },
  };
}
