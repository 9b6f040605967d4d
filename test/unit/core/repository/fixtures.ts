import { createHash } from "node:crypto";
import { codeOf } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import type { ChangedRange, DiskRange } from "#core/ports/disk-data.ts";
import {
  DiskPointReader,
  createRepository,
  openRepository,
  writeDiskPoint,
  type DiskPointReference,
  type RangesToWrite,
  type Repository,
  type WriteDiskPointOptions,
  type WrittenDiskPoint,
} from "#core/repository/index.ts";

export const signal = new AbortController().signal;
export const password = { kind: "password", password: "correct horse" } as const;
export const SECTOR = 512;

/** Deterministic bytes: a counter through SHA-256. */
export function seededRandom(seed: string): (byteCount: number) => Uint8Array {
  let counter = 0;
  return (byteCount) => {
    const parts: Buffer[] = [];
    for (let filled = 0; filled < byteCount; filled += 32) {
      parts.push(createHash("sha256").update(`${seed}/${counter++}`).digest());
    }
    return Uint8Array.from(Buffer.concat(parts).subarray(0, byteCount));
  };
}

export async function newRepository(store: BlobStore, seed = "repository"): Promise<Repository> {
  const now = new Date("2026-01-02T03:04:05Z");
  const options = { encryption: password, random: seededRandom(seed), now, scryptLogN: 10 };
  return createRepository(store, options, signal);
}

export async function reopen(store: BlobStore): Promise<Repository> {
  return openRepository(store, password, signal);
}

/** A disk in memory that records what was written and what was read. */
export class TestDisk {
  bytes: Buffer;
  readonly reads: DiskRange[] = [];
  #allocated = new Set<number>();
  #changes: ChangedRange[] = [];

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes);
  }

  write(sector: number, content: Uint8Array): void {
    this.bytes.set(content, sector * SECTOR);
    const sectorCount = content.length / SECTOR;
    for (let each = sector; each < sector + sectorCount; each++) this.#allocated.add(each);
    this.#record({ kind: "data", offsetBytes: sector * SECTOR, lengthBytes: content.length });
  }

  clear(sector: number, sectorCount: number): void {
    this.bytes.fill(0, sector * SECTOR, (sector + sectorCount) * SECTOR);
    for (let each = sector; each < sector + sectorCount; each++) this.#allocated.delete(each);
    const lengthBytes = sectorCount * SECTOR;
    this.#record({ kind: "clear", offsetBytes: sector * SECTOR, lengthBytes });
  }

  /** Changes since the last call, ascending and disjoint as Azure reports them. */
  takeChanges(): ChangedRange[] {
    const kinds = new Map<number, ChangedRange["kind"]>();
    for (const { kind, offsetBytes, lengthBytes } of this.#changes) {
      for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += SECTOR) kinds.set(at, kind);
    }
    this.#changes = [];
    const ranges: { kind: ChangedRange["kind"]; offsetBytes: number; lengthBytes: number }[] = [];
    for (const [offsetBytes, kind] of [...kinds].sort(([left], [right]) => left - right)) {
      const last = ranges.at(-1);
      if (last?.kind === kind && last.offsetBytes + last.lengthBytes === offsetBytes) {
        last.lengthBytes += SECTOR;
      } else ranges.push({ kind, offsetBytes, lengthBytes: SECTOR });
    }
    return ranges;
  }

  async *allocated(): AsyncGenerator<DiskRange> {
    for (const sector of [...this.#allocated].sort((left, right) => left - right)) {
      yield { offsetBytes: sector * SECTOR, lengthBytes: SECTOR };
    }
  }

  async read(range: DiskRange): Promise<Uint8Array> {
    this.reads.push(range);
    return Uint8Array.from(
      this.bytes.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes),
    );
  }

  full(): RangesToWrite {
    return { kind: "full", allocated: () => this.allocated() };
  }

  incremental(
    parent: DiskPointReference,
    changes: readonly ChangedRange[],
    sampleCount = 0,
  ): RangesToWrite {
    async function* changed() {
      yield* changes;
    }
    const allocated = () => this.allocated();
    return { kind: "incremental", parent, changed, allocated, sampleCount };
  }

  #record(change: ChangedRange): void {
    if (change.lengthBytes > 0) this.#changes.push(change);
  }
}

const SMALL_LIMITS = { maxReadBytes: 16 * 1024, windowBytes: 64 * 1024, packBytes: 64 * 1024 };

export async function backUp(
  repository: Repository,
  disk: TestDisk,
  pointId: string,
  ranges: RangesToWrite,
  options: Partial<WriteDiskPointOptions> = {},
): Promise<WrittenDiskPoint> {
  return writeDiskPoint(
    repository,
    {
      diskId: "disk-1",
      pointId,
      sizeBytes: disk.bytes.length,
      source: disk,
      ranges,
      random: seededRandom(`${pointId}/${disk.reads.length}`),
      now: () => new Date("2026-02-03T04:05:06Z"),
      blockBytes: 4096,
      limits: SMALL_LIMITS,
      ...options,
    },
    signal,
  );
}

/** Whole content of a point, put together from its extents as a restore does it. */
export async function restore(
  repository: Repository,
  reference: DiskPointReference,
): Promise<Buffer> {
  const reader = await DiskPointReader.open(repository, reference, signal);
  const out = Buffer.alloc(reader.sizeBytes);
  for await (const extent of reader.extents(signal)) {
    out.set(await reader.readBlocks(extent, signal), extent.offsetBytes);
  }
  return out;
}

/** Code of the failure, `no failure` when there is none. */
export async function failureOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "no failure",
    (error: unknown) => codeOf(error),
  );
}
