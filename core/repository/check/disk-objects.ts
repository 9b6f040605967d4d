/**
 * The packs and indexes of one disk as the store lists them, and what a check has learned of them.
 * Memory: about 250 bytes for each pack and index of one disk.
 */
import type { BlobStore, StoredBlob } from "../../ports/blob-store.ts";
import { objectNames } from "../format/layout.ts";
import type { DataKey } from "../writer/pack-writer.ts";

export type ContainerKind = "pack" | "index";

export interface DiskObject {
  readonly kind: ContainerKind;
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Only packs of archives and retrievals can be other than `online`: those in the archive tier, or
   * on the way out of it, are there but cannot be read.
   */
  readonly state: "online" | "archived" | "underWay";
  /** Header, footer and trailer were looked at. */
  isContainerChecked: boolean;
  /** Data key of the container, when its ends are sound. */
  soundKey?: DataKey;
  /**
   * Numbers (`numberInPack`) of blocks that were verified, or passed over by a sample; each is looked
   * at once. In an index: of frames.
   */
  readonly seenBlocks: NumberSet;
  /** Frames that cannot be read, or leaves that name such. */
  readonly badFrames: Set<number>;
}

/** Numbers are small; a larger one is not remembered, and what it stands for verified again. */
const REMEMBERED_MAX = 64 * 1024;

/** A set of numbers of blocks or frames, one bit each. */
export class NumberSet {
  #bits = new Uint8Array(0);

  has(number: number): boolean {
    const byte = this.#bits[number >> 3] ?? 0;
    return number < REMEMBERED_MAX && (byte & (1 << (number & 7))) !== 0;
  }

  add(number: number): void {
    if (number >= REMEMBERED_MAX) return;
    const at = number >> 3;
    if (at >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(at + 1, this.#bits.length * 2));
      larger.set(this.#bits);
      this.#bits = larger;
    }
    this.#bits[at] = (this.#bits[at] ?? 0) | (1 << (number & 7));
  }
}

export class DiskObjects {
  readonly diskId: string;
  readonly #objects: ReadonlyMap<string, DiskObject>;
  /** Names of the attempts. */
  readonly attemptNames: readonly string[];

  private constructor(
    diskId: string,
    objects: ReadonlyMap<string, DiskObject>,
    attemptNames: readonly string[],
  ) {
    this.diskId = diskId;
    this.#objects = objects;
    this.attemptNames = attemptNames;
  }

  static async list(
    place: {
      readonly store: Pick<BlobStore, "list">;
      readonly diskId: string;
      /** Packs may lie in the archive tier. In a disk of the repository that is damage. */
      readonly mayBeArchived?: boolean;
    },
    signal: AbortSignal,
  ): Promise<DiskObjects> {
    const { store, diskId, mayBeArchived = false } = place;
    const objects = new Map<string, DiskObject>();
    const attemptNames: string[] = [];
    for await (const blob of store.list(`disks/${diskId}/`, signal)) {
      const { name, sizeBytes } = blob;
      if (/\/attempts\/[0-9]{10}(?:-part-[^/]*)?\.manifest$/.test(name)) attemptNames.push(name);
      const id = /\/([0-9a-f]{32})\.(?:pack|index)$/.exec(name)?.[1];
      if (id === undefined) continue;
      const kind = name.endsWith(".pack") ? "pack" : "index";
      if (name !== containerName(diskId, kind, id)) continue;
      objects.set(keyOf(kind, id), {
        kind,
        id,
        name,
        sizeBytes,
        state: mayBeArchived ? stateOf(blob) : "online",
        isContainerChecked: false,
        seenBlocks: new NumberSet(),
        badFrames: new Set(),
      });
    }
    return new DiskObjects(diskId, objects, attemptNames);
  }

  all(): Iterable<DiskObject> {
    return this.#objects.values();
  }

  find(kind: ContainerKind, id: string): DiskObject | undefined {
    return this.#objects.get(keyOf(kind, id));
  }
}

function stateOf({ tier, rehydratingTo }: StoredBlob): DiskObject["state"] {
  if (rehydratingTo !== undefined) return "underWay";
  return tier === "archive" ? "archived" : "online";
}

export function containerName(diskId: string, kind: ContainerKind, id: string): string {
  return kind === "pack" ? objectNames.pack(diskId, id) : objectNames.index(diskId, id);
}

function keyOf(kind: ContainerKind, id: string): string {
  return `${kind}/${id}`;
}
