import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { openRepository, readVmPoint, type RepositorySecret } from "#core/repository/index.ts";
import { openFolder } from "../../../vectors/repository/independent-reader.ts";
import { restore, signal } from "./fixtures.ts";

const folder = join(import.meta.dirname, "../../../vectors/repository/v1");
const reference = z.object({ diskId: z.string(), sequence: z.number(), manifestId: z.string() });
const expectedSchema = z.record(
  z.string(),
  z.object({
    password: z.string().optional(),
    points: z.array(reference.extend({ sizeBytes: z.number(), sha256: z.string() })),
    vm: z.object({
      vmId: z.string(),
      pointId: z.string(),
      takenAt: z.string(),
      vm: z.json(),
      disks: z.array(reference),
    }),
  }),
);
const expected = expectedSchema.parse(
  JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")),
);

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe.each(Object.entries(expected))("frozen %s repository of format 1", (kind, vector) => {
  it("is read by a reader that was written from the document alone", () => {
    const reader = openFolder(join(folder, kind), vector.password);
    for (const { diskId, sequence, manifestId, sizeBytes, sha256: digest } of vector.points) {
      const found = reader.readDisk(diskId, sequence);
      expect(found.manifestId).toBe(manifestId);
      expect(found.image).toHaveLength(sizeBytes);
      expect(sha256(found.image)).toBe(digest);
    }
    const point = reader.readVm(vector.vm.vmId, vector.vm.pointId);
    expect(point.vm).toEqual(vector.vm.vm);
    expect(point.disks.map(({ diskPoint }) => diskPoint)).toEqual(vector.vm.disks);
  });

  it("is read by the product", async () => {
    const { password } = vector;
    const secret: RepositorySecret =
      password === undefined ? { kind: "none" } : { kind: "password", password };
    const store = new FolderStore(join(folder, kind));
    const repository = await openRepository(store, secret, signal);
    for (const { diskId, sequence, manifestId, sha256: digest } of vector.points) {
      const image = await restore(repository, { diskId, sequence, manifestId });
      expect(sha256(image)).toBe(digest);
    }
    const point = await readVmPoint(repository, vector.vm.vmId, vector.vm.pointId, signal);
    expect(point).toMatchObject({ vm: vector.vm.vm, takenAt: vector.vm.takenAt });
    expect(point.disks.map(({ diskPoint }) => diskPoint)).toEqual(vector.vm.disks);
  });
});
