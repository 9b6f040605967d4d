import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Layer } from "./layer.ts";
import {
  joinRanges,
  sectorSizeBytes,
  visibleRanges,
  type SectorRange,
  type VisibleRange,
} from "./sector-map.ts";

/** How layers stand on each other; what the catalogue keeps. */
export interface LayerLink {
  readonly id: string;
  readonly parentId: string | null;
}

/** Bytes read or copied in one go: large enough for speed, small enough for memory. */
export const pieceSizeBytes = 1024 * 1024;

/**
 * All layers of all disks: a forest in which each layer stands on its parent. A layer with a child
 * is frozen. Layers that no disk or snapshot points at are merged into their only child, or removed.
 * Callers serialise every call that writes.
 */
export class LayerStore {
  readonly #directory: string;
  readonly #layers = new Map<string, { layer: Layer; parentId: string | null }>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Opens the linked layers; directories of others are what a kill left of a merge. */
  static async open(directory: string, links: readonly LayerLink[]): Promise<LayerStore> {
    const store = new LayerStore(directory);
    for (const { id, parentId } of links) {
      const layer = await Layer.open(id, join(directory, id));
      store.#layers.set(id, { layer, parentId });
    }
    const names = await readdir(directory).catch(() => []);
    for (const name of names) {
      if (!store.#layers.has(name)) await rm(join(directory, name), { recursive: true });
    }
    return store;
  }

  links(): LayerLink[] {
    return [...this.#layers].map(([id, { parentId }]) => ({ id, parentId }));
  }

  async create(id: string, parentId: string | null): Promise<void> {
    const layer = await Layer.open(id, join(this.#directory, id));
    this.#layers.set(id, { layer, parentId });
  }

  /** The stack from `topId` down, without `untilId` and what is below it. */
  stack(topId: string, untilId?: string): Layer[] {
    const stack: Layer[] = [];
    let id: string | null = topId;
    while (id !== null && id !== untilId) {
      const entry = this.#entry(id);
      stack.push(entry.layer);
      id = entry.parentId;
    }
    return stack;
  }

  isAncestor(ancestorId: string, topId: string): boolean {
    return this.stack(topId).some((layer) => layer.id === ancestorId);
  }

  /** Ranges of what a disk or snapshot shows, in sectors; joined. */
  allocated(topId: string, from: number, to: number): SectorRange[] {
    const maps = this.stack(topId).map((layer) => layer.map);
    return joinRanges(visibleRanges(maps, from, to).filter((range) => range.kind === "data"));
  }

  /** What was written between two layers of one stack, data and clear; joined. */
  changed(topId: string, sinceId: string, from: number, to: number): SectorRange[] {
    const maps = this.stack(topId, sinceId).map((layer) => layer.map);
    return joinRanges(visibleRanges(maps, from, to));
  }

  /**
   * The bytes `[from, to)` in pieces of at most 1 MiB. Zeros that no layer holds come as `undefined`
   * with their length, so that callers need not touch memory for them.
   */
  async *read(
    topId: string,
    fromByte: number,
    toByte: number,
  ): AsyncGenerator<{ offsetBytes: number; lengthBytes: number; bytes: Uint8Array | undefined }> {
    const layers = this.stack(topId);
    for (const layer of layers) layer.acquire();
    try {
      const fromSector = Math.floor(fromByte / sectorSizeBytes);
      const toSector = Math.ceil(toByte / sectorSizeBytes);
      const maps = layers.map((layer) => layer.map);
      let position = fromByte;
      for (const range of visibleRanges(maps, fromSector, toSector)) {
        if (range.kind === "clear") continue;
        const start = Math.max(fromByte, range.start * sectorSizeBytes);
        const end = Math.min(toByte, range.end * sectorSizeBytes);
        if (start > position) {
          yield { offsetBytes: position, lengthBytes: start - position, bytes: undefined };
        }
        yield* readPieces(layers, range, start, end);
        position = end;
      }
      if (position < toByte) {
        yield { offsetBytes: position, lengthBytes: toByte - position, bytes: undefined };
      }
    } finally {
      for (const layer of layers) await layer.release();
    }
  }

  /** @throws when `topId` is frozen: that is a bug of the caller */
  writable(topId: string): Layer {
    for (const [id, { parentId }] of this.#layers) {
      if (parentId === topId) throw new Error(`layer ${topId} is frozen below ${id}`);
    }
    return this.#entry(topId).layer;
  }

  /**
   * Removes layers that nothing shows, and joins each unreferenced layer with its only child. The
   * smaller side is copied. The caller repoints `replaced` ids and saves the links, then calls
   * `remove` on `obsolete`. A kill in between loses nothing: copies only repeat what shows already.
   */
  async collect(referenced: ReadonlySet<string>): Promise<{
    replaced: Map<string, string>;
    obsolete: Layer[];
  }> {
    const replaced = new Map<string, string>();
    const obsolete: Layer[] = [];
    const pointed = new Set(referenced);
    const reachable = new Set([...pointed].flatMap((id) => this.stack(id).map((each) => each.id)));
    for (const [id, { layer }] of this.#layers) {
      if (reachable.has(id)) continue;
      obsolete.push(layer);
      this.#layers.delete(id);
    }
    for (;;) {
      const pair = this.#findMergeable(pointed);
      if (pair === undefined) return { replaced, obsolete };
      const gone = await this.#merge(pair.parent, pair.child);
      obsolete.push(gone);
      if (gone === pair.child) {
        replaced.set(pair.child.id, pair.parent.id);
        if (pointed.delete(pair.child.id)) pointed.add(pair.parent.id);
      }
    }
  }

  async close(): Promise<void> {
    for (const { layer } of this.#layers.values()) await layer.close();
  }

  #findMergeable(pointed: ReadonlySet<string>): { parent: Layer; child: Layer } | undefined {
    const childrenOf = new Map<string, Layer[]>();
    for (const { layer, parentId } of this.#layers.values()) {
      if (parentId !== null) childrenOf.set(parentId, [...(childrenOf.get(parentId) ?? []), layer]);
    }
    for (const [parentId, [child, ...others]] of childrenOf) {
      if (child !== undefined && others.length === 0 && !pointed.has(parentId)) {
        return { parent: this.#entry(parentId).layer, child };
      }
    }
    return undefined;
  }

  /** @returns the one of the two that is now obsolete */
  async #merge(parent: Layer, child: Layer): Promise<Layer> {
    const hidden = visibleRanges([child.map, parent.map], 0, Number.MAX_SAFE_INTEGER).filter(
      (range) => range.layerIndex === 1,
    );
    const uncoveredSectorCount = hidden.reduce(
      (sum, { start, end, kind }) => sum + (kind === "data" ? end - start : 0),
      0,
    );
    if (child.map.dataSectorCount <= uncoveredSectorCount) {
      await copyRanges(child, [...child.map.ranges()], parent);
      for (const [id, entry] of this.#layers) {
        if (entry.parentId === child.id) this.#layers.set(id, { ...entry, parentId: parent.id });
      }
      this.#layers.delete(child.id);
      return child;
    }
    await copyRanges(parent, hidden, child);
    this.#layers.set(child.id, { layer: child, parentId: this.#entry(parent.id).parentId });
    this.#layers.delete(parent.id);
    return parent;
  }

  #entry(id: string): { layer: Layer; parentId: string | null } {
    const entry = this.#layers.get(id);
    if (entry === undefined) throw new Error(`layer ${id} is not in the catalogue`);
    return entry;
  }
}

async function* readPieces(
  layers: readonly Layer[],
  range: VisibleRange,
  start: number,
  end: number,
) {
  const layer = layers[range.layerIndex];
  if (layer === undefined) throw new Error(`no layer ${range.layerIndex} in the stack`);
  for (let offset = start; offset < end; offset += pieceSizeBytes) {
    const bytes = Buffer.allocUnsafe(Math.min(pieceSizeBytes, end - offset));
    await layer.read(offset, bytes);
    yield { offsetBytes: offset, lengthBytes: bytes.byteLength, bytes };
  }
}

async function copyRanges(from: Layer, ranges: readonly SectorRange[], to: Layer): Promise<void> {
  const pieceSectors = pieceSizeBytes / sectorSizeBytes;
  for (const { start, end, kind } of ranges) {
    if (kind === "clear") {
      await to.clear(start, end);
      continue;
    }
    for (let sector = start; sector < end; sector += pieceSectors) {
      const count = Math.min(pieceSectors, end - sector);
      const bytes = Buffer.allocUnsafe(count * sectorSizeBytes);
      await from.read(sector * sectorSizeBytes, bytes);
      await to.write(sector, bytes);
    }
  }
}
