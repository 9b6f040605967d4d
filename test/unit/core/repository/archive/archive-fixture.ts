import type { BlobStore } from "#core/ports/blob-store.ts";
import {
  archiveVmPoint,
  commitVmPoint,
  openArchivedDisk,
  startRetrieval,
  type Repository,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { TestDisk, backUp, newRepository, reopen, seededRandom, signal } from "../fixtures.ts";

const BLOCK = 4096;
export const NOW = new Date("2026-04-01T00:00:00Z");
const MIB = 1024 * 1024;

/** Three disks: random and zero blocks over two leaves, all zero, and an odd size with text. */
export function threeDisks(): Record<string, TestDisk> {
  const a = new TestDisk(1100 * BLOCK);
  a.write(0, seededRandom("a1")(20 * BLOCK));
  a.write(8 * 500, seededRandom("a2")(3 * BLOCK));
  a.write(8 * 1020, seededRandom("a3")(10 * BLOCK));
  const b = new TestDisk(50 * BLOCK);
  const c = new TestDisk(7 * BLOCK + 1536);
  c.write(0, Buffer.alloc(7 * BLOCK + 1536, "compressible "));
  return { a, b, c };
}

export interface Start {
  readonly store: MemoryStore;
  readonly disks: Record<string, TestDisk>;
  readonly images: Record<string, Buffer>;
}

/** A repository with the point `p1` of `vm-1`, made of a full and an incremental of each disk. */
export async function startingPoint(): Promise<Start> {
  const store = new MemoryStore(() => NOW);
  const repository = await newRepository(store);
  const disks = threeDisks();
  const points = [];
  for (const [lun, [diskId, disk]] of Object.entries(disks).entries()) {
    const full = await backUp(repository, disk, "p0", disk.full(), { diskId });
    disk.takeChanges();
    if (diskId === "a") {
      disk.write(8 * 5, seededRandom("new")(2 * BLOCK));
      disk.clear(8 * 10, 8);
    }
    const ranges = disk.incremental(full.reference, disk.takeChanges());
    const { reference } = await backUp(repository, disk, "p1", ranges, { diskId });
    points.push({ lun, sizeBytes: disk.bytes.length, diskPoint: reference });
  }
  await commitVm(repository, "p1", points);
  const images = Object.fromEntries(
    Object.entries(disks).map(([diskId, { bytes }]) => [diskId, Buffer.from(bytes)]),
  );
  return { store, disks, images };
}

async function commitVm(
  repository: Repository,
  pointId: string,
  disks: Parameters<typeof commitVmPoint>[1]["disks"],
) {
  const takenAt = new Date("2026-03-01T00:00:00Z");
  const point = { vmId: "vm-1", pointId, takenAt, vm: { name: "web" }, disks };
  const random = seededRandom(`vm/${pointId}`);
  await commitVmPoint(repository, { ...point, random, now: () => takenAt }, signal);
}

let processCount = 0;
let opened: Repository | undefined;

/** All repositories here have the same keys: finding them by the password takes time once. */
export async function openOver(store: BlobStore): Promise<Repository> {
  opened ??= await reopen(store);
  return { ...opened, store };
}

/** As one process does it: with randomness of its own. Small packs, so that there are several. */
export async function archive(
  store: BlobStore,
  options: Partial<Parameters<typeof archiveVmPoint>[1]> = {},
) {
  const repository = await openOver(store);
  return archiveVmPoint(
    repository,
    {
      vmId: "vm-1",
      pointId: "p1",
      archiveId: "arc-1",
      random: seededRandom(`process ${processCount++}`),
      now: () => NOW,
      limits: { packBytes: 32 * 1024 },
      ...options,
    },
    signal,
  );
}

export async function retrieve(
  store: BlobStore,
  diskIds: readonly string[],
  options: Partial<Parameters<typeof startRetrieval>[1]> = {},
) {
  const repository = await openOver(store);
  return startRetrieval(
    repository,
    {
      vmId: "vm-1",
      archiveId: "arc-1",
      retrievalId: "ret-1",
      diskIds,
      tier: "hot",
      priority: "standard",
      random: seededRandom(`process ${processCount++}`),
      now: () => NOW,
      ...options,
    },
    signal,
  );
}

/** Whole content of an archived disk, as a restore reads it. */
export async function restoreArchived(
  store: BlobStore,
  diskId: string,
  retrievalId: string | undefined = "ret-1",
): Promise<Buffer> {
  const repository = await openOver(store);
  const name = { vmId: "vm-1", archiveId: "arc-1", diskId };
  const reference = retrievalId === "" ? name : { ...name, retrievalId };
  const reader = await openArchivedDisk(repository, reference, signal);
  const out = Buffer.alloc(reader.sizeBytes);
  for await (const extent of reader.extents(signal)) {
    for (let done = 0; done < extent.lengthBytes; done += MIB) {
      const offsetBytes = extent.offsetBytes + done;
      const lengthBytes = Math.min(MIB, extent.lengthBytes - done);
      out.set(await reader.readBlocks({ offsetBytes, lengthBytes }, signal), offsetBytes);
    }
  }
  return out;
}

export function namesUnder(store: MemoryStore, prefix: string): string[] {
  return [...store.objects.keys()].filter((name) => name.startsWith(prefix)).sort();
}
