import { randomBytes } from "node:crypto";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openDiskService } from "#local/disks/local-disk-service.ts";

const sizeBytes = 64 * 512;

function open(stateDirectory: string) {
  return openDiskService({ stateDirectory, now: () => new Date(), random: randomBytes });
}

/**
 * Copies the state at every step of a deletion, as a kill at that step would leave it, and opens each
 * copy: what was not deleted has its bytes, and a snapshot that is still there has its own.
 */
it("loses and mixes no bytes when it is killed anywhere in a deletion", async () => {
  const directory = await mkdtemp(join(tmpdir(), "interrupted-deletion-"));
  try {
    const live = join(directory, "live");
    const service = await open(live);
    await service.createEmptyDisk({ id: "disk", sizeBytes });
    const expected: Buffer[] = [];
    for (const fill of [1, 2, 3]) {
      // The oldest layer is the largest: the younger ones are copied into it.
      const sectorCount = 32 / fill ** 2;
      await service.guestWrite(
        "disk",
        fill * 512,
        Buffer.alloc(Math.floor(sectorCount) * 512, fill),
      );
      await service.createSnapshot({ snapshotId: `s${fill}`, diskId: "disk" });
      expected.push(Buffer.from(await service.guestRead("disk", 0, sizeBytes)));
    }
    const copies: string[] = [];
    const copy = async (): Promise<void> => {
      const target = join(directory, `copy${copies.length}`);
      await cp(live, target, { recursive: true });
      copies.push(target);
    };
    const { layers } = service.state;
    const collect = layers.collect.bind(layers);
    layers.collect = async (referenced) => {
      await copy();
      const result = await collect(referenced);
      await copy();
      return result;
    };
    await service.deleteSnapshot("s1");
    await service.deleteSnapshot("s2");
    await copy();
    await service.close();
    expect(copies).toHaveLength(5);
    for (const stateDirectory of copies) {
      const opened = await open(stateDirectory);
      expect(Buffer.from(await opened.guestRead("disk", 0, sizeBytes))).toEqual(expected[2]);
      for (const { id, layerId } of opened.state.snapshots.values()) {
        const parts: Uint8Array[] = [];
        for await (const piece of opened.state.layers.read(layerId, 0, sizeBytes)) {
          parts.push(piece.bytes ?? new Uint8Array(piece.lengthBytes));
        }
        expect(Buffer.concat(parts)).toEqual(expected[Number(id.slice(1)) - 1]);
      }
      await opened.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
