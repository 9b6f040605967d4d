/**
 * Reads blocks as a restore does and throws the content away. Memory: each fetch under way holds at
 * most `FETCH_BYTES` of frames and as much of content, or one block where that is larger.
 */
import { giveBack } from "../codec/give-back.ts";
import type { BlockCodec, BlockToDecode } from "../codec/block-codec.ts";
import type { BlockMap, BlockSource } from "../block-map.ts";
import { frameKeyOf, hashKeyOf } from "../format/keys.ts";
import type { BlockEntry } from "../format/leaf.ts";
import { objectNames } from "../format/layout.ts";
import { blockLengthBytes } from "../writer/plan-runs.ts";
import { isDamage } from "./damage.ts";

export interface PlacedBlock extends BlockEntry {
  readonly block: number;
}

const FETCH_BYTES = 4 * 1024 * 1024;
/** Unneeded bytes that are fetched rather than asking twice. */
const GAP_BYTES_MAX = 64 * 1024;

/** Blocks that lie close together in one pack, few enough for one fetch. */
export function* groupsOf(
  blocks: readonly PlacedBlock[],
  blockBytes: number,
): Generator<PlacedBlock[]> {
  const sorted = blocks.toSorted(
    (left, right) =>
      (left.packId < right.packId ? -1 : left.packId > right.packId ? 1 : 0) ||
      left.offsetBytes - right.offsetBytes ||
      left.position - right.position,
  );
  const blocksMax = Math.max(1, Math.floor(FETCH_BYTES / blockBytes));
  let group: PlacedBlock[] = [];
  for (const block of sorted) {
    const [first] = group;
    const last = group.at(-1);
    const endBytes = last === undefined ? 0 : last.offsetBytes + last.storedBytes;
    const isSameFrame = last?.frameNumber === block.frameNumber;
    const isNear =
      first !== undefined &&
      group.length < blocksMax &&
      first.packId === block.packId &&
      (isSameFrame || block.offsetBytes >= endBytes) &&
      block.offsetBytes - endBytes <= GAP_BYTES_MAX &&
      block.offsetBytes + block.storedBytes - first.offsetBytes <= FETCH_BYTES;
    if (isNear) group.push(block);
    else {
      if (group.length > 0) yield group;
      group = [block];
    }
  }
  if (group.length > 0) yield group;
}

export interface BadBlock {
  readonly placed: PlacedBlock;
  readonly error: unknown;
}

export interface BlockVerifier {
  /** Returns the blocks that cannot be read; throws what is not damage. */
  verify(group: readonly PlacedBlock[]): Promise<BadBlock[]>;
  readonly readBytes: number;
}

export function blockVerifier(
  { store }: BlockSource,
  map: BlockMap,
  codec: BlockCodec,
  signal: AbortSignal,
): BlockVerifier {
  const { manifest } = map.point;
  let readBytes = 0;

  async function decode(group: readonly PlacedBlock[]): Promise<void> {
    const first = group[0];
    const last = group.at(-1);
    if (first === undefined || last === undefined) return;
    const name = objectNames.pack(manifest.diskId, first.packId);
    const startBytes = first.offsetBytes;
    const lengthBytes = last.offsetBytes + last.storedBytes - startBytes;
    const { key } = map.dataKeyOf(first);
    const packId = Buffer.from(first.packId, "hex");
    const keys = { packId, frameKey: frameKeyOf(key, packId), hashKey: hashKeyOf(key) };
    const blocks = group.map((placed): BlockToDecode => ({
      ...placed,
      ...keys,
      offsetBytes: placed.offsetBytes - startBytes,
      rawBytes: blockLengthBytes(manifest, placed.block),
    }));
    const bytes = await store.read(name, { offsetBytes: startBytes, lengthBytes }, signal);
    readBytes += lengthBytes;
    giveBack(await codec.decode({ bytes, blocks }, signal));
  }

  async function verify(group: readonly PlacedBlock[]): Promise<BadBlock[]> {
    try {
      await decode(group);
      return [];
    } catch (error) {
      if (!isDamage(error)) throw error;
      const [placed] = group;
      if (placed !== undefined && group.length === 1) return [{ placed, error }];
    }
    // One of several: each by itself tells which.
    const bad: BadBlock[] = [];
    for (const placed of group) bad.push(...(await verify([placed])));
    return bad;
  }

  return {
    verify,
    get readBytes() {
      return readBytes;
    },
  };
}
