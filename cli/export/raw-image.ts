/** The bytes of the disk as they are, in a sparse file; with a footer it is a fixed VHD. */
import { encodeVhdFooter, vhdFooterSizeBytes } from "#core/lib/vhd-footer.ts";
import {
  clustersWithContent,
  writeFully,
  type ImageFile,
  type ImageWriter,
} from "./image-writer.ts";

export class RawImageWriter implements ImageWriter {
  readonly #file: ImageFile;
  readonly #sizeBytes: number;

  constructor(file: ImageFile, sizeBytes: number) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    for (const run of clustersWithContent(bytes)) {
      await writeFully(this.#file, run.bytes, offsetBytes + run.at);
    }
  }

  async finish(): Promise<void> {
    await this.#file.truncate(this.#sizeBytes);
  }
}

/**
 * Largest disk that programs other than Azure read as VHD ("Virtual Hard Disk Image Format
 * Specification": 2,040 GiB). Azure takes larger ones as the upload of a managed disk.
 */
export const VHD_PORTABLE_BYTES_MAX = 2040 * 1024 ** 3;

export interface VhdIdentity {
  /** 16 bytes. */
  readonly uniqueId: Uint8Array;
  readonly createdAtMs: number;
}

export class VhdImageWriter implements ImageWriter {
  readonly #file: ImageFile;
  readonly #raw: RawImageWriter;
  readonly #sizeBytes: number;
  readonly #identity: VhdIdentity;

  constructor(file: ImageFile, sizeBytes: number, identity: VhdIdentity) {
    this.#file = file;
    this.#raw = new RawImageWriter(file, sizeBytes);
    this.#sizeBytes = sizeBytes;
    this.#identity = identity;
  }

  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    await this.#raw.write(offsetBytes, bytes);
  }

  async finish(): Promise<void> {
    const footer = encodeVhdFooter({
      sizeBytes: this.#sizeBytes,
      // QEMU believes the size of a footer only of creators that it knows; of others it computes a
      // smaller one from the geometry (block/vpc.c, vpc_open).
      creatorApplication: "win ",
      ...this.#identity,
    });
    await this.#file.truncate(this.#sizeBytes + vhdFooterSizeBytes);
    await writeFully(this.#file, footer, this.#sizeBytes);
  }
}
