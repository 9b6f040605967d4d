import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { z } from "zod";
import { FolderStore } from "#azure/storage/folder-store.ts";
import {
  checkRepository,
  openArchivedDisk,
  openRepository,
  readArchive,
  readVmPoint,
} from "#core/repository/index.ts";
import { openFolder } from "../../../../vectors/repository/independent-reader.ts";
import { restore, seededRandom, signal } from "../fixtures.ts";

const vectors = join(import.meta.dirname, "../../../../vectors/repository");
const disk = z.object({ diskId: z.string(), sizeBytes: z.number(), sha256: z.string() });
const expectedSchema = z.object({
  password: z.string(),
  points: z.array(disk.extend({ sequence: z.number(), manifestId: z.string() })).length(4),
  vm: z.object({ vmId: z.string(), pointId: z.string(), vm: z.json() }),
  archive: z.object({
    vmId: z.string(),
    archiveId: z.string(),
    disks: z.array(disk.extend({ packCount: z.number() })).length(2),
  }),
  retrieval: z.object({ retrievalId: z.string(), diskIds: z.array(z.string()).length(1) }),
});

function vectorOf(name: string) {
  const folder = join(vectors, name);
  const text = readFileSync(join(folder, "expected.json"), "utf8");
  return { name, folder: join(folder, "repository"), ...expectedSchema.parse(JSON.parse(text)) };
}

const VECTORS = ["v1-archives", "v1-shared-frames"].map(vectorOf);

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

it.each(VECTORS)("$name is read by a reader written from the document alone", (vector) => {
  const { folder, password, points, vm, archive, retrieval } = vector;
  const reader = openFolder(folder, password);
  for (const { diskId, sequence, manifestId, sha256: digest } of points) {
    const found = reader.readDisk(diskId, sequence);
    expect(found.manifestId).toBe(manifestId);
    expect(sha256(found.image)).toBe(digest);
  }
  const found = reader.readArchive(archive.vmId, archive.archiveId);
  expect(found).toMatchObject({ pointId: vm.pointId, vm: vm.vm });
  for (const { diskId, packCount, sizeBytes, sha256: digest } of archive.disks) {
    expect(found.disks.find(({ image }) => image.diskId === diskId)?.packCount).toBe(packCount);
    const image = reader.readArchivedDisk({ ...archive, diskId });
    expect(image).toHaveLength(sizeBytes);
    expect(sha256(image)).toBe(digest);
  }
  for (const diskId of retrieval.diskIds) {
    const image = reader.readArchivedDisk({ ...archive, diskId }, retrieval.retrievalId);
    expect(sha256(image)).toBe(archive.disks.find((each) => each.diskId === diskId)?.sha256);
  }
});

it.each(VECTORS)("$name is read and found sound by the product", async (vector) => {
  const { folder, password, points, vm, archive, retrieval } = vector;
  const store = new FolderStore(folder);
  const secret = { kind: "password", password } as const;
  const repository = await openRepository(store, secret, signal);
  for (const { sha256: digest, ...reference } of points) {
    expect(sha256(await restore(repository, reference))).toBe(digest);
  }
  expect((await readVmPoint(repository, vm.vmId, vm.pointId, signal)).vm).toEqual(vm.vm);
  const read = await readArchive(repository, archive, signal);
  expect(read.disks.map(({ image }) => image.diskId)).toEqual(
    archive.disks.map((each) => each.diskId),
  );
  for (const { diskId, sha256: digest } of archive.disks) {
    const isRetrieved = retrieval.diskIds.includes(diskId);
    const { retrievalId } = retrieval;
    const reference = { ...archive, diskId, ...(isRetrieved && { retrievalId }) };
    const reader = await openArchivedDisk(repository, reference, signal);
    const image = await reader.read({ offsetBytes: 0, lengthBytes: reader.sizeBytes }, signal);
    expect(sha256(image)).toBe(digest);
  }
  const options = { level: "complete", samplePercent: 100, random: seededRandom("v") } as const;
  expect((await checkRepository(repository, options, signal)).findings).toEqual([]);
});
