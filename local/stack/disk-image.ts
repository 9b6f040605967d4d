/**
 * A *disk image* is a raw file of the user's, of any size. Disks are whole sectors and, to be
 * uploaded (which every restore does), not below a minimum; an image that is smaller is filled up
 * with zeros. Its exact size goes with the disk as an ordinary tag, which a restore carries over,
 * so that an export can be cut to it.
 */
import { constants } from "node:fs";
import { copyFile, mkdtemp, open, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const sectorSizeBytes = 512;
/**
 * `uploadSizeBytes` is 20972032 or more, the VHD footer of 512 bytes included:
 * https://learn.microsoft.com/rest/api/compute/disks/create-or-update#creationdata
 */
const smallestUploadBytes = 20 * 1024 * 1024;
const pieceSizeBytes = 1024 * 1024;

export const imageSizeTag = "image-size-bytes";

/** Size of the disk that an image of this size becomes. */
export function diskSizeOf(imageSizeBytes: number): number {
  const sectorCount = Math.ceil(imageSizeBytes / sectorSizeBytes);
  return Math.max(sectorCount * sectorSizeBytes, smallestUploadBytes);
}

/** Size of a user's image; an error in the user's words when it cannot become a disk. */
export async function readImageSize(file: string): Promise<number> {
  const found = await stat(file).catch((error: unknown) => {
    throw new Error(`${file} cannot be read: there is no such file.`, { cause: error });
  });
  if (!found.isFile()) throw new Error(`${file} is not a regular file: give a raw disk image.`);
  if (found.size === 0) throw new Error(`${file} is empty: a disk needs at least one byte.`);
  const handle = await open(file, "r").catch((error: unknown) => {
    throw new Error(`${file} cannot be read: no permission.`, { cause: error });
  });
  await handle.close();
  return found.size;
}

/** Calls `use` with a file that is large enough to be a disk: the image, or a filled-up copy of it. */
export async function withDiskSizedFile<Result>(
  file: string,
  use: (file: string) => Promise<Result>,
): Promise<Result> {
  const { size } = await stat(file);
  // A rest of a sector is filled up by whoever imports it.
  if (size >= smallestUploadBytes) return use(file);
  const directory = await mkdtemp(join(tmpdir(), "holdfast-image-"));
  try {
    const copy = join(directory, "image.raw");
    await copyFile(file, copy, constants.COPYFILE_FICLONE);
    await truncate(copy, smallestUploadBytes);
    return await use(copy);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * The size to cut an export to: the image's, when the disk still has the size that the image was
 * given and nothing was written behind the image's end; else the disk's own.
 */
export async function exactSizeOf(
  exported: string,
  disk: { readonly sizeBytes: number; readonly tag: string | undefined },
): Promise<number> {
  const imageSizeBytes = Number(disk.tag);
  const isImageSize = Number.isSafeInteger(imageSizeBytes) && imageSizeBytes > 0;
  if (!isImageSize || diskSizeOf(imageSizeBytes) !== disk.sizeBytes) return disk.sizeBytes;
  const isFilling = await isZeroFrom(exported, imageSizeBytes);
  return isFilling ? imageSizeBytes : disk.sizeBytes;
}

async function isZeroFrom(file: string, startBytes: number): Promise<boolean> {
  await using handle = await open(file, "r");
  const piece = Buffer.alloc(pieceSizeBytes);
  for (let offset = startBytes; ;) {
    const { bytesRead } = await handle.read(piece, 0, pieceSizeBytes, offset);
    if (bytesRead === 0) return true;
    if (piece.subarray(0, bytesRead).some((byte) => byte !== 0)) return false;
    offset += bytesRead;
  }
}
