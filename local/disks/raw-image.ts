import { execFile } from "node:child_process";
import { open, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { pieceSizeBytes, type LayerStore } from "./layer-store.ts";
import type { Layer } from "./layer.ts";
import { sectorSizeBytes } from "./sector-map.ts";

/** Raw images of disks in files: import copies only what holds data, export writes holes for zeros. */

/** Prints `start end` of each data extent. lseek: SEEK_DATA is 3, SEEK_HOLE is 4 on Linux. */
const perlListExtents = `
  open(my $f, "<", $ARGV[0]) or die "open: $!";
  my $at = 0;
  while (defined(my $data = sysseek($f, $at, 3))) {
    my $hole = sysseek($f, $data, 4);
    print $data + 0, " ", $hole + 0, "\\n";
    $at = $hole;
  }
  exit($! == 6 ? 0 : 1); # ENXIO: no data after this offset
`;
const maxExtentListBytes = 256 * 1024 * 1024;

/** A zero run of this size inside an extent is left out of the copy. */
const zeroBlockSizeBytes = 64 * 1024;

interface Extent {
  readonly start: number;
  readonly end: number;
}

/** Size of a raw image rounded up to whole sectors. */
export async function readImageSize(file: string): Promise<number> {
  const { size } = await stat(file);
  return Math.ceil(size / sectorSizeBytes) * sectorSizeBytes;
}

/** Copies the data of a raw image into an empty layer. */
export async function importImage(file: string, layer: Layer): Promise<void> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    for (const extent of await listExtents(file, size)) {
      const first = Math.floor(extent.start / sectorSizeBytes) * sectorSizeBytes;
      for (let offset = first; offset < extent.end; offset += pieceSizeBytes) {
        const length = Math.min(pieceSizeBytes, extent.end - offset);
        const piece = Buffer.alloc(Math.ceil(length / sectorSizeBytes) * sectorSizeBytes);
        await readFully(handle, piece.subarray(0, Math.min(length, size - offset)), offset);
        await writeNonZero(layer, offset, piece);
      }
    }
  } finally {
    await handle.close();
  }
}

/** Writes `[0, sizeBytes)` of what a layer shows to a sparse file. */
export async function exportImage(
  layers: LayerStore,
  source: { layerId: string; sizeBytes: number },
  file: string,
): Promise<void> {
  const handle = await open(file, "w");
  try {
    await handle.truncate(source.sizeBytes);
    for await (const piece of layers.read(source.layerId, 0, source.sizeBytes)) {
      if (piece.bytes === undefined || isZero(piece.bytes)) continue;
      await handle.write(piece.bytes, 0, piece.lengthBytes, piece.offsetBytes);
    }
  } finally {
    await handle.close();
  }
}

async function listExtents(file: string, sizeBytes: number): Promise<Extent[]> {
  try {
    const { stdout } = await promisify(execFile)("perl", ["-e", perlListExtents, file], {
      maxBuffer: maxExtentListBytes,
    });
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [start, end] = line.split(" ").map(Number);
        if (start === undefined || end === undefined) throw new Error(`extent "${line}"`);
        return { start, end };
      });
  } catch {
    // No perl, or a file system without holes: reading all of it gives the same disk, only slower.
    return sizeBytes === 0 ? [] : [{ start: 0, end: sizeBytes }];
  }
}

async function readFully(
  handle: Awaited<ReturnType<typeof open>>,
  target: Buffer,
  offset: number,
): Promise<void> {
  let done = 0;
  while (done < target.byteLength) {
    const { bytesRead } = await handle.read(target, done, target.byteLength - done, offset + done);
    if (bytesRead === 0) throw new Error(`the image ended at byte ${offset + done}`);
    done += bytesRead;
  }
}

async function writeNonZero(layer: Layer, offset: number, piece: Buffer): Promise<void> {
  let start = 0;
  while (start < piece.byteLength) {
    if (isZero(piece.subarray(start, start + zeroBlockSizeBytes))) {
      start += zeroBlockSizeBytes;
      continue;
    }
    let end = start + zeroBlockSizeBytes;
    while (end < piece.byteLength && !isZero(piece.subarray(end, end + zeroBlockSizeBytes))) {
      end += zeroBlockSizeBytes;
    }
    await layer.write((offset + start) / sectorSizeBytes, piece.subarray(start, end));
    start = end;
  }
}

const zeros = Buffer.alloc(pieceSizeBytes);

function isZero(bytes: Uint8Array): boolean {
  return zeros.compare(bytes, 0, bytes.byteLength, 0, bytes.byteLength) === 0;
}
