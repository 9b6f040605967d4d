/**
 * Immutability of what a new point shares with older ones: each object whose known last day comes
 * before the need is extended, and the new root records the day. Others cost no request.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { codeOf } from "../../lib/errors.ts";
import type { BlobStore } from "../../ports/blob-store.ts";
import { objectNames } from "../format/layout.ts";
import type { IndexUse, PackUse, Root } from "../format/root.ts";
import type { Immutability } from "../immutability.ts";

const PARALLEL_EXTENSIONS = 16;

interface ProtectionTarget {
  readonly store: BlobStore;
  readonly diskId: string;
  readonly immutability: Immutability;
}

/** True when some object of the root is not known to be immutable for long enough. */
export function needsProtection(root: Root, { untilDay }: Immutability): boolean {
  const isShort = (use: PackUse | IndexUse): boolean => use.immutableUntilDay < untilDay;
  return [...root.packs.values()].some(isShort) || [...root.indexes.values()].some(isShort);
}

/** Extends what needs it; the root that comes back records it. Doing it again is safe. */
export async function protectRoot(
  root: Root,
  target: ProtectionTarget,
  signal: AbortSignal,
): Promise<Root> {
  const { diskId } = target;
  const packs = await protectAll(
    root.packs,
    (packId) => objectNames.pack(diskId, packId),
    target,
    signal,
  );
  const indexes = await protectAll(
    root.indexes,
    (indexId) => objectNames.index(diskId, indexId),
    target,
    signal,
  );
  return { leaves: root.leaves, packs, indexes };
}

/** The index that holds a root is not in the root's own table. */
export async function protectIndex(
  indexId: string,
  { store, diskId, immutability }: ProtectionTarget,
  signal: AbortSignal,
): Promise<void> {
  await store.extendImmutability(objectNames.index(diskId, indexId), immutability.until, signal);
}

async function protectAll<Use extends PackUse | IndexUse>(
  uses: ReadonlyMap<string, Use>,
  nameOf: (id: string) => string,
  { store, immutability }: ProtectionTarget,
  signal: AbortSignal,
): Promise<Map<string, Use>> {
  const { until, untilDay } = immutability;
  const entries = await mapBounded(uses, PARALLEL_EXTENSIONS, async ([id, use]) => {
    if (use.immutableUntilDay >= untilDay) return [id, use] as const;
    try {
      await store.extendImmutability(nameOf(id), until, signal);
    } catch (error) {
      // An object that is gone cannot be protected. The backup goes on, because its own blocks are
      // worth having; a health check names the loss.
      if (codeOf(error) !== "BlobNotFound") throw error;
      return [id, use] as const;
    }
    return [id, { ...use, immutableUntilDay: untilDay }] as const;
  });
  return new Map(entries);
}
