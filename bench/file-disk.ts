/** A disk image in a file, through the ports of the data mover. */
import { open, type FileHandle } from "node:fs/promises";
import type {
  ChangedRange,
  DiskDataReader,
  DiskDataWriter,
  DiskRange,
} from "#core/ports/disk-data.ts";

export class FileDiskReader implements DiskDataReader {
  readonly #file: FileHandle;
  readonly changes: readonly ChangedRange[];

  private constructor(file: FileHandle, changes: readonly ChangedRange[]) {
    this.#file = file;
    this.changes = changes;
  }

  static async open(path: string, changes: readonly ChangedRange[] = []): Promise<FileDiskReader> {
    return new FileDiskReader(await open(path, "r"), changes);
  }

  async readSizeBytes(): Promise<number> {
    return (await this.#file.stat()).size;
  }

  async read({ offsetBytes, lengthBytes }: DiskRange): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(lengthBytes);
    const { bytesRead } = await this.#file.read(bytes, 0, lengthBytes, offsetBytes);
    if (bytesRead !== lengthBytes) throw new Error(`short read at ${offsetBytes}`);
    return bytes;
  }

  /** The whole disk: the peers read everything, so do we. */
  async *listAllocated(): AsyncGenerator<DiskRange> {
    yield { offsetBytes: 0, lengthBytes: await this.readSizeBytes() };
  }

  async *listChanged(): AsyncGenerator<ChangedRange> {
    yield* this.changes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

export class FileDiskWriter implements DiskDataWriter {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async create(path: string, sizeBytes: number): Promise<FileDiskWriter> {
    const file = await open(path, "w");
    await file.truncate(sizeBytes);
    return new FileDiskWriter(file);
  }

  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    const { bytesWritten } = await this.#file.write(bytes, 0, bytes.length, offsetBytes);
    if (bytesWritten !== bytes.length) throw new Error(`short write at ${offsetBytes}`);
  }

  async finish(): Promise<void> {
    await this.#file.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
