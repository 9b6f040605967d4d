/**
 * Made `v1-archives`, and again `v1-shared-frames` when frames had come to hold several blocks, each
 * once: a frozen vector is never made anew. It stays to tell what is in them.
 *
 *     node test/vectors/repository/make-archives-vector.ts <empty folder>
 */
import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { argv } from "node:process";
import { FolderStore } from "#azure/storage/folder-store.ts";
import {
  archiveVmPoint,
  commitVmPoint,
  createRepository,
  startRetrieval,
  writeDiskPoint,
  type DiskPointReference,
  type RangesToWrite,
} from "#core/repository/index.ts";

const BLOCK = 4096;
const MIB = 1024 * 1024;
const signal = new AbortController().signal;
const now = (): Date => new Date("2026-11-22T04:30:00Z");
const random = (byteCount: number): Uint8Array => randomBytes(byteCount);
const password = "an archive for ten years";

const folder = argv[2];
if (folder === undefined) throw new Error("name an empty folder");
const repository = await createRepository(
  new FolderStore(join(folder, "repository")),
  { encryption: { kind: "password", password }, random, now: now(), scryptLogN: 10 },
  signal,
);

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const points: object[] = [];

async function backUp(
  diskId: string,
  pointId: string,
  image: Buffer,
  ranges: RangesToWrite,
  rotateDataKey: boolean,
): Promise<DiskPointReference> {
  const source = {
    read: async ({ offsetBytes, lengthBytes }: { offsetBytes: number; lengthBytes: number }) =>
      Uint8Array.from(image.subarray(offsetBytes, offsetBytes + lengthBytes)),
  };
  const sizeBytes = image.length;
  const limits = { maxReadBytes: 16 * 1024, windowBytes: MIB, packBytes: 32 * 1024 };
  const options = { diskId, pointId, sizeBytes, source, ranges, random, now, blockBytes: BLOCK };
  const written = await writeDiskPoint(repository, { ...options, limits, rotateDataKey }, signal);
  points.push({ ...written.reference, sizeBytes, sha256: sha256(image) });
  return written.reference;
}

function full(image: Buffer): RangesToWrite {
  const allocated = async function* () {
    yield { offsetBytes: 0, lengthBytes: image.length };
  };
  return { kind: "full", allocated };
}

// Three leaves: changed later, inherited, and all zero but for its last, short block.
const disk = Buffer.alloc(2050 * BLOCK + 1536);
randomBytes(6 * BLOCK).copy(disk, 0);
disk.fill("text that compresses ", 20 * BLOCK, 30 * BLOCK);
randomBytes(3 * BLOCK).copy(disk, 1500 * BLOCK);
randomBytes(1536).copy(disk, 2050 * BLOCK);
const data = Buffer.alloc(5 * BLOCK);
data.fill("a second disk ", BLOCK, 4 * BLOCK);

const first = await backUp("disk-os", "p1", disk, full(disk), false);
const otherFirst = await backUp("disk-0", "p1", data, full(data), false);
const vm = { name: "vector", size: "Standard_D2s_v5", note: "ümläut" };

async function commit(pointId: string, references: readonly DiskPointReference[]): Promise<void> {
  const [os, other] = references;
  if (os === undefined || other === undefined) throw new Error("two disks");
  const disks = [
    { lun: "os" as const, sizeBytes: disk.length, diskPoint: os },
    { lun: 0, sizeBytes: data.length, diskPoint: other },
  ];
  const point = { vmId: "vm-1", pointId, takenAt: now(), vm, disks, random, now };
  await commitVmPoint(repository, point, signal);
}

await commit("p1", [first, otherFirst]);
randomBytes(2 * BLOCK).copy(disk, 5 * BLOCK);
disk.fill(0, 22 * BLOCK, 23 * BLOCK);
const changed = async function* () {
  yield { kind: "data" as const, offsetBytes: 5 * BLOCK, lengthBytes: 2 * BLOCK };
  yield { kind: "clear" as const, offsetBytes: 22 * BLOCK, lengthBytes: BLOCK };
};
const none = async function* () {};
const allocated = async function* () {
  yield { offsetBytes: 0, lengthBytes: disk.length };
};
const shared = { kind: "incremental", sampleCount: 0 } as const;
const second = await backUp(
  "disk-os",
  "p2",
  disk,
  { ...shared, parent: first, changed, allocated },
  true,
);
const otherSecond = await backUp(
  "disk-0",
  "p2",
  data,
  { ...shared, parent: otherFirst, changed: none, allocated: none },
  false,
);
await commit("p2", [second, otherSecond]);

const name = { vmId: "vm-1", archiveId: "archive-1" };
const limits = { packBytes: 32 * 1024 };
const { archive } = await archiveVmPoint(
  repository,
  { ...name, pointId: "p2", random, now, limits },
  signal,
);
const retrieval = { retrievalId: "retrieval-1", diskIds: ["disk-os"] };
await startRetrieval(
  repository,
  { ...name, ...retrieval, tier: "hot", priority: "standard", random, now },
  signal,
);
const expected = {
  password,
  points,
  vm: { vmId: "vm-1", pointId: "p2", vm },
  archive: {
    ...name,
    disks: archive.disks.map(({ packCount, image: { diskId, sizeBytes } }) => ({
      diskId,
      packCount,
      sizeBytes,
      sha256: sha256(diskId === "disk-os" ? disk : data),
    })),
  },
  retrieval,
};
await writeFile(join(folder, "expected.json"), `${JSON.stringify(expected, null, 1)}\n`);
