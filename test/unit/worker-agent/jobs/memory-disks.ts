import { HoldfastError } from "#core/lib/errors.ts";
import type { ChangedRange, DiskData } from "#core/ports/disk-data.ts";

/** Disks in memory behind made-up SAS URLs. */
export class MemoryDisks implements DiskData {
  readonly #contents = new Map<string, Buffer>();
  readonly finished: string[] = [];
  readonly openSas: string[] = [];
  /** What a diff answers, by the SAS of the newer snapshot; without an entry there is no diff. */
  readonly changes = new Map<string, ChangedRange[]>();
  readBytes = 0;
  failingSas = "";

  set(sas: string, content: Buffer): void {
    this.#contents.set(sas, content);
  }

  get(sas: string): Buffer {
    const content = this.#contents.get(sas);
    if (content === undefined) throw new HoldfastError("NoDisk", `no disk behind ${sas}`);
    return content;
  }

  openReader(sas: string): ReturnType<DiskData["openReader"]> {
    return openReader(this, sas);
  }

  openWriter(sas: string, sizeBytes: number): ReturnType<DiskData["openWriter"]> {
    return openWriter(this, sas, sizeBytes);
  }
}

function openReader(disks: MemoryDisks, sas: string): ReturnType<DiskData["openReader"]> {
  disks.openSas.push(sas);
  return {
    async readSizeBytes() {
      return disks.get(sas).length;
    },
    async read({ offsetBytes, lengthBytes }, signal) {
      signal.throwIfAborted();
      if (sas === disks.failingSas)
        throw new HoldfastError("ServerBusy", "later", { retry: "backoff" });
      disks.readBytes += lengthBytes;
      return Uint8Array.from(disks.get(sas).subarray(offsetBytes, offsetBytes + lengthBytes));
    },
    async *listAllocated() {
      yield { offsetBytes: 0, lengthBytes: disks.get(sas).length };
    },
    async *listChanged() {
      const changes = disks.changes.get(sas);
      if (changes === undefined) throw new HoldfastError("DiffUnavailable", "other family");
      yield* changes;
    },
    async [Symbol.asyncDispose]() {
      disks.openSas.splice(disks.openSas.indexOf(sas), 1);
    },
  };
}

function openWriter(
  disks: MemoryDisks,
  sas: string,
  sizeBytes: number,
): ReturnType<DiskData["openWriter"]> {
  disks.openSas.push(sas);
  disks.set(sas, Buffer.alloc(sizeBytes));
  return {
    async write(offsetBytes, bytes) {
      disks.get(sas).set(bytes, offsetBytes);
    },
    async finish() {
      disks.finished.push(sas);
    },
    async [Symbol.asyncDispose]() {
      disks.openSas.splice(disks.openSas.indexOf(sas), 1);
    },
  };
}
