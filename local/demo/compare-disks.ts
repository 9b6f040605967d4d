import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DiskService, ResourceKey } from "#local/disks/disk-service.ts";

const pieceSizeBytes = 4 * 1024 * 1024;

/**
 * Compares every byte of two disks or snapshots.
 *
 * @param directory for two files of the disks' size (sparse), removed again
 * @returns offset of the first byte that differs, or undefined when all are equal
 */
export async function findDifference(
  disks: DiskService,
  pair: { readonly left: ResourceKey; readonly right: ResourceKey },
  directory: string,
): Promise<number | undefined> {
  const leftFile = join(directory, "compare-left.raw");
  const rightFile = join(directory, "compare-right.raw");
  try {
    await disks.exportToFile({ source: pair.left, file: leftFile });
    await disks.exportToFile({ source: pair.right, file: rightFile });
    return await findFileDifference(leftFile, rightFile);
  } finally {
    await rm(leftFile, { force: true });
    await rm(rightFile, { force: true });
  }
}

/** A shorter file differs from a longer one where it ends. */
export async function findFileDifference(
  leftFile: string,
  rightFile: string,
): Promise<number | undefined> {
  await using left = await open(leftFile, "r");
  await using right = await open(rightFile, "r");
  const leftPiece = Buffer.alloc(pieceSizeBytes);
  const rightPiece = Buffer.alloc(pieceSizeBytes);
  for (let offset = 0; ; offset += pieceSizeBytes) {
    const leftBytes = await readPiece(left, leftPiece, offset);
    const rightBytes = await readPiece(right, rightPiece, offset);
    if (!leftBytes.equals(rightBytes)) return offset + firstDifference(leftBytes, rightBytes);
    if (leftBytes.byteLength < pieceSizeBytes) return undefined;
  }
}

async function readPiece(
  handle: Awaited<ReturnType<typeof open>>,
  piece: Buffer,
  offset: number,
): Promise<Buffer> {
  let length = 0;
  while (length < piece.byteLength) {
    const { bytesRead } = await handle.read(
      piece,
      length,
      piece.byteLength - length,
      offset + length,
    );
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return piece.subarray(0, length);
}

function firstDifference(left: Buffer, right: Buffer): number {
  const common = Math.min(left.byteLength, right.byteLength);
  for (let index = 0; index < common; index++) if (left[index] !== right[index]) return index;
  return common;
}
