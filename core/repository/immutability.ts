/** What all writers of immutable objects share. */
import { HoldfastError } from "../lib/errors.ts";
import type { BlobStore } from "../ports/blob-store.ts";
import { immutableDayOf, startOfDay } from "./format/immutable-day.ts";

/** Until when the objects of one restore point cannot be deleted. */
export interface Immutability {
  /** Days from 1970-01-01, a multiple of ten. */
  readonly untilDay: number;
  /** 00:00 UTC of that day. */
  readonly until: Date;
}

/**
 * Undefined when no immutability is asked for. Throws `ImmutabilityNotSupported` when the store has
 * none: before anything is written.
 * @param until when the restore point expires; rounded up to a generation
 */
export async function requireImmutability(
  store: BlobStore,
  until: Date | undefined,
  signal: AbortSignal,
): Promise<Immutability | undefined> {
  if (until === undefined) return undefined;
  const { immutability } = await store.readCapabilities(signal);
  if (!immutability) {
    throw new HoldfastError(
      "ImmutabilityNotSupported",
      "The policy asks for immutable restore points, but this store cannot protect objects from " +
        "deletion. Turn on versioning and version-level immutability of the container, or turn " +
        "immutability off in the policy.",
    );
  }
  const untilDay = immutableDayOf(until);
  return { untilDay, until: startOfDay(untilDay) };
}

/** Options of `BlobStore.create` for an object of such a point. */
export function createOptionsOf(immutability: Immutability | undefined): {
  readonly immutableUntil?: Date;
} {
  return immutability === undefined ? {} : { immutableUntil: immutability.until };
}
