/**
 * Leaves of one point and the blocks that they name. Leaves that points share are decoded once
 * below level `complete`; there every point is walked through whole, as a restore would. What a pack
 * holds is verified once in any case.
 *
 * Memory: `LEAVES_UNDER_WAY` leaves (200 KiB each) with `GROUPS_PER_LEAF` fetches of 8 MiB each.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import type { BlockMap } from "../block-map.ts";
import { HEADER_BYTES, LEAF_BLOCKS, objectNames } from "../format/layout.ts";
import { numberInPack, type Leaf } from "../format/leaf.ts";
import type { LeafReference } from "../format/leaf-table.ts";
import { TRAILER_BYTES } from "../format/sealed-object.ts";
import { blockCountOf } from "../writer/plan-runs.ts";
import { orDefect, type ContentCheck } from "./check-context.ts";
import type { DiskObject } from "./disk-objects.ts";
import { reasonsOf } from "./findings.ts";
import { blockVerifier, groupsOf, type BlockVerifier, type PlacedBlock } from "./verify-blocks.ts";

const LEAVES_UNDER_WAY = 4;
const GROUPS_PER_LEAF = 2;

export async function checkLeaves(check: ContentCheck, map: BlockMap): Promise<void> {
  const { level, progress, signal } = check;
  const verifier = blockVerifier(check, map, level.codec, signal);
  const work = { check, map, verifier };
  const leafNumbers = map.root.leaves.stored();
  await mapBounded(leafNumbers, LEAVES_UNDER_WAY, async (leafNumber) => {
    const reference = map.root.leaves.get(leafNumber);
    if (reference !== undefined) await checkLeaf(work, leafNumber, reference);
  });
  progress.readBytes += verifier.readBytes;
}

interface LeafWork {
  readonly check: ContentCheck;
  readonly map: BlockMap;
  readonly verifier: BlockVerifier;
}

async function checkLeaf(work: LeafWork, leafNumber: number, reference: LeafReference) {
  const { check, map } = work;
  const { sequence } = map.point.reference;
  const index = check.objects.find("index", reference.indexId);
  // A missing index is a finding by itself. One of a wrong size may still hold this leaf.
  if (index === undefined) return;
  const isKnown =
    index.seenBlocks.has(reference.frameNumber) && !index.badFrames.has(reference.frameNumber);
  if (isKnown && check.level.kind !== "complete") return;
  const first = leafNumber * LEAF_BLOCKS;
  const count = Math.min(LEAF_BLOCKS, blockCountOf(map.point.manifest) - first);
  const name = objectNames.index(check.diskId, reference.indexId);
  const leaf = await orDefect(
    check,
    sequence,
    { kind: "unreadable-metadata", object: name, blocks: { first, count } },
    map.readLeaf(leafNumber, check.signal),
  );
  check.progress.readBytes += reference.storedBytes;
  index.seenBlocks.add(reference.frameNumber);
  if (leaf === undefined) {
    index.badFrames.add(reference.frameNumber);
    check.damage.addFrame("index", reference.indexId, reference.frameNumber);
    return;
  }
  const isSound = await checkEntries(work, first, name, leaf);
  if (!isSound) index.badFrames.add(reference.frameNumber);
  check.progress.tell();
}

/** @returns false when the leaf must be looked at again for every point that shares it */
async function checkEntries(
  work: LeafWork,
  firstBlock: number,
  leafObject: string,
  leaf: Leaf,
): Promise<boolean> {
  const { check, map } = work;
  const { sequence } = map.point.reference;
  const due: PlacedBlock[] = [];
  let isSound = true;
  const chosen = check.level.kind === "sample" ? check.level.choose(leaf.length) : undefined;
  for (const [position, entry] of leaf.entries()) {
    if (entry === undefined) continue;
    const placed = { ...entry, block: firstBlock + position };
    const pack = check.objects.find("pack", entry.packId);
    const defect = placeDefect(map, pack, placed);
    if (defect !== undefined) {
      isSound = false;
      const blocks = { first: placed.block, count: 1 };
      const what = { kind: "unreadable-metadata", object: leafObject, blocks } as const;
      check.defects.add({ ...what, message: defect, harmsRestores: true }, sequence);
      continue;
    }
    // A missing or cut pack is one finding; its blocks are not told one by one.
    if (pack === undefined || check.damage.isDamaged("pack", entry.packId)) {
      isSound = false;
      continue;
    }
    if (pack.badFrames.has(entry.frameNumber)) {
      isSound = false;
      addBadBlock(check, pack, placed, sequence, undefined);
      continue;
    }
    if (pack.state !== "online" || check.level.kind === "metadata") continue;
    if (pack.seenBlocks.has(numberInPack(entry))) continue;
    pack.seenBlocks.add(numberInPack(entry));
    if (chosen?.[position] ?? true) due.push(placed);
  }
  return (await verify(work, due)) && isSound;
}

function placeDefect(
  map: BlockMap,
  pack: DiskObject | undefined,
  placed: PlacedBlock,
): string | undefined {
  if (!map.root.packs.has(placed.packId)) {
    return "The leaf names a pack that the root of the restore point does not list.";
  }
  if (placed.block >= blockCountOf(map.point.manifest)) {
    return "The leaf names a block behind the end of the disk.";
  }
  const isCut = pack?.sizeBytes !== map.root.packs.get(placed.packId)?.objectBytes;
  if (pack === undefined || isCut || pack.state === "underWay") return undefined;
  const endBytes = placed.offsetBytes + placed.storedBytes;
  const isInside = placed.offsetBytes >= HEADER_BYTES && endBytes <= pack.sizeBytes - TRAILER_BYTES;
  return isInside ? undefined : "The leaf names a place outside of the frames of a pack.";
}

async function verify({ check, map, verifier }: LeafWork, due: PlacedBlock[]): Promise<boolean> {
  const { sequence } = map.point.reference;
  let isSound = true;
  const groups = groupsOf(due, map.point.manifest.blockBytes);
  await mapBounded(groups, GROUPS_PER_LEAF, async (group) => {
    for (const { placed, error } of await verifier.verify(group)) {
      isSound = false;
      const pack = check.objects.find("pack", placed.packId);
      if (pack === undefined) continue;
      pack.badFrames.add(placed.frameNumber);
      check.damage.addFrame("pack", placed.packId, placed.frameNumber);
      addBadBlock(check, pack, placed, sequence, error);
    }
    check.progress.verifiedBlocks += group.length;
  });
  return isSound;
}

function addBadBlock(
  check: ContentCheck,
  pack: DiskObject,
  placed: PlacedBlock,
  sequence: number,
  error: unknown,
): void {
  const blocks = { first: placed.block, count: 1 };
  const what = { kind: "unreadable-block", object: pack.name, blocks } as const;
  const message = error === undefined ? "The block cannot be read." : reasonsOf(error);
  check.defects.add({ ...what, message, harmsRestores: true }, sequence);
}
