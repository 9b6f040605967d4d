/**
 * *Dead frames* are parts of packs and indexes that no point of the disk refers to any more. Nothing
 * needs them, but they lie in objects that are needed: damage there may be the first sign of more.
 * They are told by the footers, which name every frame.
 *
 * Memory: the footer of one object, and one fetch of at most `FETCH_BYTES` or one frame.
 */
import { giveBack } from "../codec/give-back.ts";
import type { BlockToDecode } from "../codec/block-codec.ts";
import { NO_BLOCK, type FooterFrame } from "../format/footer-frames.ts";
import { FRAME_PURPOSES, unsealFrame } from "../format/frame.ts";
import { frameKeyOf, hashKeyOf } from "../format/keys.ts";
import { requireIntact } from "../format/layout.ts";
import { numberInPack } from "../format/leaf.ts";
import type { FooterEntry } from "../format/sealed-object.ts";
import type { DataKey } from "../writer/pack-writer.ts";
import { orDefect, type ContentCheck } from "./check-context.ts";
import { checkContainer } from "./check-container.ts";
import type { DiskObject } from "./disk-objects.ts";

const FETCH_BYTES = 4 * 1024 * 1024;

/** For level `complete`, after all points of the disk: what they did not lead to is dead. */
export async function checkDeadFrames(check: ContentCheck): Promise<void> {
  for (const object of check.objects.all()) {
    const { soundKey } = object;
    if (soundKey === undefined) continue;
    check.signal.throwIfAborted();
    const frames = await orDefect(
      check,
      0,
      { kind: "unreadable-metadata", object: object.name, harmsRestores: false },
      checkContainer(check, object, soundKey, check.signal),
    );
    for (const group of groupsOf(deadFramesOf(object, frames ?? []))) {
      await verifyGroup(check, { object, dataKey: soundKey }, group);
    }
    check.progress.tell();
  }
}

/** Frames with some block, or leaf, that nothing led to. */
function deadFramesOf(object: DiskObject, frames: readonly FooterFrame[]): FooterFrame[] {
  return frames.filter(({ frameNumber, lines }) => {
    const isUnseen = ({ number }: FooterEntry, position: number): boolean =>
      number !== NO_BLOCK && !object.seenBlocks.has(numberInPack({ frameNumber, position }));
    return !object.badFrames.has(frameNumber) && lines.some(isUnseen);
  });
}

/** Neighbours, as many as one fetch may hold. */
function* groupsOf(frames: readonly FooterFrame[]): Generator<readonly FooterFrame[]> {
  let group: FooterFrame[] = [];
  for (const frame of frames) {
    const [first] = group;
    const last = group.at(-1);
    const isNext =
      first !== undefined &&
      last !== undefined &&
      last.offsetBytes + last.storedBytes === frame.offsetBytes &&
      frame.offsetBytes + frame.storedBytes - first.offsetBytes <= FETCH_BYTES;
    if (!isNext && group.length > 0) {
      yield group;
      group = [];
    }
    group.push(frame);
  }
  if (group.length > 0) yield group;
}

interface Container {
  readonly object: DiskObject;
  readonly dataKey: DataKey;
}

async function verifyGroup(
  check: ContentCheck,
  { object, dataKey }: Container,
  group: readonly FooterFrame[],
): Promise<void> {
  const first = group[0];
  const last = group.at(-1);
  if (first === undefined || last === undefined) return;
  const startBytes = first.offsetBytes;
  const range = {
    offsetBytes: startBytes,
    lengthBytes: last.offsetBytes + last.storedBytes - startBytes,
  };
  const isPack = object.kind === "pack";
  const kind = isPack ? "unreadable-block" : "unreadable-metadata";
  const bytes = await orDefect(
    check,
    0,
    { kind, object: object.name, harmsRestores: false },
    check.store.read(object.name, range, check.signal),
  );
  if (bytes === undefined) return;
  check.progress.readBytes += range.lengthBytes;
  for (const frame of group) {
    const at = frame.offsetBytes - startBytes;
    const sealed = Uint8Array.from(bytes.subarray(at, at + frame.storedBytes));
    const place = isPack ? { blocks: blocksOf(frame) } : {};
    const work = isPack
      ? verifyBlocks(check, { object, dataKey }, frame, sealed)
      : verifyIndexFrame({ object, dataKey }, frame, sealed);
    await orDefect(check, 0, { kind, object: object.name, ...place, harmsRestores: false }, work);
  }
}

function blocksOf({ lines }: FooterFrame): { readonly first: number; readonly count: number } {
  const numbers = lines.map(({ number }) => number).filter((number) => number !== NO_BLOCK);
  const first = numbers[0] ?? 0;
  return { first, count: (numbers.at(-1) ?? 0) - first + 1 };
}

async function verifyBlocks(
  check: ContentCheck,
  { object, dataKey }: Container,
  { purpose, encoding, frameNumber, storedBytes, lines }: FooterFrame,
  bytes: Uint8Array,
): Promise<void> {
  requireIntact(purpose === FRAME_PURPOSES.block, "a pack holds a frame that is no block");
  const packId = Buffer.from(object.id, "hex");
  const keys = { frameKey: frameKeyOf(dataKey.key, packId), hashKey: hashKeyOf(dataKey.key) };
  const frame = { encoding, frameNumber, storedBytes, frameBlocks: lines.length, offsetBytes: 0 };
  const blocks = lines.flatMap(({ number, rawBytes, hash }, position): BlockToDecode[] =>
    number === NO_BLOCK ? [] : [{ ...keys, ...frame, packId, position, rawBytes, hash }],
  );
  giveBack(await check.level.codec.decode({ bytes, blocks }, check.signal));
  check.progress.verifiedBlocks += blocks.length;
}

async function verifyIndexFrame(
  { object, dataKey }: Container,
  { purpose, encoding, frameNumber, lines }: FooterFrame,
  sealed: Uint8Array,
): Promise<void> {
  const rawBytes = lines[0]?.rawBytes ?? 0;
  const objectId = Buffer.from(object.id, "hex");
  const identity = { objectId, purpose, encoding, frameNumber, rawBytes };
  unsealFrame(frameKeyOf(dataKey.key, objectId), identity, sealed);
}
