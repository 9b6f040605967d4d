/**
 * Copies one disk point into an archive: plans where each block will lie, writes the packs that are
 * not there yet one after the other, then the map.
 */
import { assert } from "../../lib/assert.ts";
import type { StoredBlob } from "../../ports/blob-store.ts";
import { BlockMap } from "../block-map.ts";
import type { BlockCodec } from "../codec/block-codec.ts";
import type { DiskPoint } from "../disk-points.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { wrapDataKey } from "../format/keys.ts";
import { LEAF_BLOCKS, damaged, objectNames, requireIntact } from "../format/layout.ts";
import { emptyLeaf } from "../format/leaf.ts";
import { LeafTable } from "../format/leaf-table.ts";
import type { PackUse } from "../format/root.ts";
import { createOptionsOf, type Immutability } from "../immutability.ts";
import type { Repository } from "../repository.ts";
import { IndexWriter, type RootReference } from "../writer/index-writer.ts";
import type { ArchiveProgress } from "./archive-vm-point.ts";
import { archiveFolderOf, type ArchivedDisk } from "./archives.ts";
import { partsOfPack } from "./copy-pack.ts";
import { PackPlanner, type PlannedPack } from "./plan-packs.ts";

export interface DiskCopy {
  readonly repository: Repository;
  readonly source: DiskPoint;
  readonly vmId: string;
  readonly archiveId: string;
  readonly packBytes: number;
  readonly codec: BlockCodec;
  readonly random: (byteCount: number) => Uint8Array;
  readonly immutability: Immutability | undefined;
  readonly onProgress: (progress: ArchiveProgress) => void;
  readonly signal: AbortSignal;
}

export async function archiveDisk(copy: DiskCopy): Promise<Omit<ArchivedDisk, "lun">> {
  const { repository, source, signal } = copy;
  const { manifest } = source;
  const { diskId } = manifest;
  const { repositoryKey } = repository.key;
  // The manifest of the archive is sealed by the current repository key, so its data keys are too.
  const dataKeys = source.dataKeys.map(({ keyId, key }) => ({
    keyId,
    wrapped: wrapDataKey(repositoryKey, { diskId, keyId }, key),
  }));
  const map = await BlockMap.open(repository, source, signal);
  const packs = new PackStore(copy, map, await storedPacks(copy));
  const root = manifest.root === null ? null : await copyMap(copy, map, packs);
  const sizes = [...packs.uses.values()].map(({ objectBytes }) => objectBytes);
  return {
    packCount: sizes.length,
    storedBytes: sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0),
    image: { ...manifest, dataKeys, root },
  };
}

/** What an earlier try of this archive stored, by name in the archive's folder. */
async function storedPacks(copy: DiskCopy): Promise<ReadonlyMap<string, StoredBlob>> {
  const { repository, source, signal } = copy;
  const folder = archiveFolderOf(copy);
  const prefix = folder + objectNames.packs(source.manifest.diskId);
  const found = new Map<string, StoredBlob>();
  for await (const blob of repository.store.list(prefix, signal)) {
    found.set(blob.name.slice(folder.length), blob);
  }
  return found;
}

async function copyMap(copy: DiskCopy, map: BlockMap, packs: PackStore): Promise<RootReference> {
  const { repository, source, vmId, archiveId, packBytes, signal } = copy;
  const { diskId, sequence, sizeBytes } = source.manifest;
  const { manifestId } = source.reference;
  const folder = archiveFolderOf(copy);
  const identity = { vmId, archiveId, diskId, manifestId };
  const planner = new PackPlanner({ packBytes, dataKeys: source.dataKeys, identity });
  const keyNumber = source.dataKeys.length - 1;
  const dataKey = source.dataKeys[keyNumber];
  assert(dataKey !== undefined, "a disk point has no data key");
  const index = new IndexWriter({
    store: {
      create: (name, body, inner, options) =>
        repository.store.create(folder + name, body, inner, options),
    },
    diskId,
    sequence,
    dataKey,
    keyNumber,
    random: copy.random,
    immutability: copy.immutability,
    signal,
  });
  const leaves = LeafTable.zero(map.root.leaves.length);
  for (const leafNumber of map.root.leaves.stored()) {
    const leaf = await map.readLeaf(leafNumber, signal);
    if (leaf === undefined) continue;
    const placed = emptyLeaf();
    leaf.forEach((entry, position) => {
      if (entry === undefined) return;
      const use = map.root.packs.get(entry.packId);
      requireIntact(use !== undefined, "a block lies in a pack that the root does not list");
      const block = leafNumber * LEAF_BLOCKS + position;
      placed[position] = planner.place(use.keyNumber, { ...entry, block });
    });
    leaves.set(leafNumber, await index.addLeaf(leafNumber, placed));
    for (const pack of planner.takeFull()) await packs.ensure(pack);
  }
  for (const pack of planner.finish()) await packs.ensure(pack);
  await index.flush();
  packs.show(sizeBytes);
  // A copy: the index that the root itself gets is no part of its table.
  return index.addRoot({ leaves, packs: packs.uses, indexes: new Map(index.indexes) });
}

class PackStore {
  /** By id: packs that lie in the archive. */
  readonly uses = new Map<string, PackUse>();
  readonly #copy: DiskCopy;
  readonly #map: BlockMap;
  readonly #found: ReadonlyMap<string, StoredBlob>;
  #storedBytes = 0;
  #doneBytes = 0;

  constructor(copy: DiskCopy, map: BlockMap, found: ReadonlyMap<string, StoredBlob>) {
    this.#copy = copy;
    this.#map = map;
    this.#found = found;
  }

  async ensure(pack: PlannedPack): Promise<void> {
    const { source, immutability } = this.#copy;
    const name = objectNames.pack(source.manifest.diskId, pack.packId);
    const found = this.#found.get(name);
    if (found?.sizeBytes === pack.objectBytes) await this.#keep(found);
    else await this.#write(archiveFolderOf(this.#copy) + name, pack, found);
    const lastBlock = pack.frames.at(-1)?.blocks.at(-1)?.block ?? 0;
    this.show((lastBlock + 1) * source.manifest.blockBytes);
    this.uses.set(pack.packId, {
      keyNumber: pack.keyNumber,
      objectBytes: pack.objectBytes,
      liveBytes: pack.liveBytes,
      immutableUntilDay: immutability?.untilDay ?? 0,
    });
  }

  show(toBytes: number): void {
    const { diskId, sizeBytes } = this.#copy.source.manifest;
    this.#doneBytes = Math.max(this.#doneBytes, Math.min(toBytes, sizeBytes));
    const storedBytes = this.#storedBytes;
    this.#copy.onProgress({
      diskId,
      doneBytes: this.#doneBytes,
      totalBytes: sizeBytes,
      storedBytes,
    });
  }

  /** Stored whole by an earlier try, which verified what is in it. */
  async #keep(found: StoredBlob): Promise<void> {
    const { repository, immutability, signal } = this.#copy;
    if (immutability === undefined) return;
    if (found.immutableUntil !== undefined && found.immutableUntil >= immutability.until) return;
    await repository.store.extendImmutability(found.name, immutability.until, signal);
  }

  async #write(name: string, pack: PlannedPack, wrong: StoredBlob | undefined): Promise<void> {
    const { repository, codec, source, immutability, signal } = this.#copy;
    const { store } = repository;
    if (wrong !== undefined) requireFeatures(repository.descriptor, "delete");
    if (wrong !== undefined && (await store.delete(name, signal)) === "immutable") {
      throw damaged("a foreign object lies where an archive wants to store a pack", { name });
    }
    const { blockBytes } = source.manifest;
    const parts = partsOfPack({
      source: repository,
      map: this.#map,
      codec,
      pack,
      signal,
      onVerified: (block, storedBytes) => {
        this.#storedBytes += storedBytes;
        this.show((block + 1) * blockBytes);
      },
    });
    const options = { tier: "archive", ...createOptionsOf(immutability) } as const;
    await store.createFromParts(name, parts, signal, options);
  }
}
