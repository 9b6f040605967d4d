import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sectorSizeBytes, SectorMap, type SectorKind } from "./sector-map.ts";

/**
 * The bytes written to one layer, in a directory of its own: `data-<n>` hold them at their disk
 * offsets (sparse), `journal` lists in order which sectors were written or cleared. Data goes to its
 * file before its journal record, so that a killed process leaves a layer that is merely older.
 * An empty layer has no directory.
 */
export class Layer {
  readonly id: string;
  readonly map: SectorMap;
  readonly #directory: string;
  readonly #dataFiles = new Map<number, Promise<FileHandle>>();
  #journal: Promise<FileHandle> | undefined;
  #userCount = 0;
  #removed = false;

  private constructor(id: string, directory: string, map: SectorMap) {
    this.id = id;
    this.#directory = directory;
    this.map = map;
  }

  static async open(id: string, directory: string): Promise<Layer> {
    return new Layer(id, directory, await readJournal(join(directory, "journal")));
  }

  /** Keeps the files readable until `release`, even when the layer is removed meanwhile. */
  acquire(): void {
    this.#userCount++;
  }

  async release(): Promise<void> {
    this.#userCount--;
    if (this.#removed && this.#userCount === 0) await this.#removeFiles();
  }

  /** Reads into `target` from `offsetBytes` of the disk; what no file holds is zeros. */
  async read(offsetBytes: number, target: Uint8Array): Promise<void> {
    for (const piece of splitAtFiles(offsetBytes, target.byteLength)) {
      const file = await this.#dataFile(piece.fileIndex);
      const part = target.subarray(piece.start, piece.end);
      let done = 0;
      while (done < part.byteLength) {
        const { bytesRead } = await file.read(
          part,
          done,
          part.byteLength - done,
          piece.offset + done,
        );
        if (bytesRead === 0) throw new Error(`layer ${this.id} ends before byte ${offsetBytes}`);
        done += bytesRead;
      }
    }
  }

  async write(startSector: number, bytes: Uint8Array): Promise<void> {
    for (const piece of splitAtFiles(startSector * sectorSizeBytes, bytes.byteLength)) {
      const file = await this.#dataFile(piece.fileIndex);
      await file.write(bytes, piece.start, piece.end - piece.start, piece.offset);
    }
    await this.#record(startSector, startSector + bytes.byteLength / sectorSizeBytes, "data");
  }

  async clear(startSector: number, endSector: number): Promise<void> {
    await this.#record(startSector, endSector, "clear");
  }

  /** Deletes the files, at once or when the last reader is done. */
  async remove(): Promise<void> {
    this.#removed = true;
    if (this.#userCount === 0) await this.#removeFiles();
  }

  async close(): Promise<void> {
    const handles = [...this.#dataFiles.values()];
    if (this.#journal !== undefined) handles.push(this.#journal);
    this.#dataFiles.clear();
    this.#journal = undefined;
    for (const handle of handles) await (await handle).close();
  }

  async #removeFiles(): Promise<void> {
    await this.close();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #record(start: number, end: number, kind: SectorKind): Promise<void> {
    this.#journal ??= this.#openFile("journal", "a");
    await (await this.#journal).appendFile(encodeRecord(start, end, kind));
    this.map.set(start, end, kind);
  }

  #dataFile(index: number): Promise<FileHandle> {
    let file = this.#dataFiles.get(index);
    if (file === undefined) {
      file = this.#openFile(`data-${index}`, constants.O_RDWR | constants.O_CREAT);
      this.#dataFiles.set(index, file);
    }
    return file;
  }

  async #openFile(name: string, flags: string | number): Promise<FileHandle> {
    await mkdir(this.#directory, { recursive: true });
    return open(join(this.#directory, name), flags);
  }
}

/** ext4 refuses files above 16 TiB, Azure's disks go to 32: a layer is cut into files of this size. */
const dataFileSizeBytes = 8 * 1024 ** 4;

function* splitAtFiles(offsetBytes: number, lengthBytes: number) {
  let start = 0;
  while (start < lengthBytes) {
    const fileIndex = Math.floor((offsetBytes + start) / dataFileSizeBytes);
    const offset = offsetBytes + start - fileIndex * dataFileSizeBytes;
    const end = Math.min(lengthBytes, start + dataFileSizeBytes - offset);
    yield { fileIndex, offset, start, end };
    start = end;
  }
}

/** kind (1 byte), 3 zero bytes, start and length in sectors (6 bytes each, little endian). */
const recordSizeBytes = 16;

function encodeRecord(start: number, end: number, kind: SectorKind): Buffer {
  const record = Buffer.alloc(recordSizeBytes);
  record.writeUInt8(kind === "data" ? 1 : 2, 0);
  record.writeUIntLE(start, 4, 6);
  record.writeUIntLE(end - start, 10, 6);
  return record;
}

/** Replays a journal, and rewrites it when it is much longer than what it says. */
async function readJournal(path: string): Promise<SectorMap> {
  const map = new SectorMap();
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return Buffer.alloc(0);
    throw error;
  });
  // A record cut off by a kill was never acknowledged; drop it, or later records shift.
  const recordCount = Math.floor(bytes.byteLength / recordSizeBytes);
  for (let index = 0; index < recordCount; index++) {
    const at = index * recordSizeBytes;
    const start = bytes.readUIntLE(at + 4, 6);
    map.set(
      start,
      start + bytes.readUIntLE(at + 10, 6),
      bytes.readUInt8(at) === 1 ? "data" : "clear",
    );
  }
  const torn = bytes.byteLength % recordSizeBytes !== 0;
  if (torn || recordCount > 2 * map.rangeCount + 64) {
    const compact = [...map.ranges()].map(({ start, end, kind }) => encodeRecord(start, end, kind));
    await writeFile(`${path}.new`, Buffer.concat(compact));
    await rename(`${path}.new`, path);
  }
  return map;
}
