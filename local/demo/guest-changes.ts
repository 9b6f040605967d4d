import { randomBytes } from "node:crypto";
import type { DiskService } from "#local/disks/disk-service.ts";
import { partitionOffsetBytes } from "./partition-table.ts";

export const changedBlockSizeBytes = 64 * 1024;

/**
 * Writes new bytes to a share of a disk's 64 KiB blocks, spread over the whole disk, as its guest
 * would. The partition table stays.
 *
 * @param share e.g. 0.02
 * @returns how many blocks were written
 */
export async function changeBlocks(
  disks: DiskService,
  diskId: string,
  share: number,
): Promise<number> {
  const sizeBytes = disks.describeDisk(diskId)?.sizeBytes;
  if (sizeBytes === undefined) throw new Error(`There is no disk ${diskId}.`);
  const blockCount = Math.floor(sizeBytes / changedBlockSizeBytes);
  const firstBlock = partitionOffsetBytes / changedBlockSizeBytes;
  const wanted = Math.floor(blockCount * share);
  const stride = Math.floor((blockCount - 2 * firstBlock) / wanted);
  for (let index = 0; index < wanted; index++) {
    const block = firstBlock + index * stride;
    await disks.guestWrite(
      diskId,
      block * changedBlockSizeBytes,
      randomBytes(changedBlockSizeBytes),
    );
  }
  return wanted;
}
