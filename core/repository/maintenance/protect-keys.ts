import { mapBounded } from "../../lib/bounded-pool.ts";
import { codeOf } from "../../lib/errors.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";

const PARALLEL_EXTENSIONS = 8;
const IS_MANIFEST = /^(?:vms\/[^/]+\/points\/[^/]+|archives\/[^/]+\/[^/]+\/archive)\.manifest$/;

/**
 * Makes everything without which nothing can be opened immutable for as long as the restore point or
 * archive that is so for longest: `repo.json`, the slots of the current key, its former keys, and
 * `README.txt`. Slots of former keys are left alone: their secrets are to be shut out. Safe to repeat.
 *
 * @returns how many objects were extended; 0 where nothing in the repository is immutable
 */
export async function protectKeys(
  { store, key }: Repository,
  signal: AbortSignal,
): Promise<{ readonly extendedObjects: number }> {
  if (!(await store.readCapabilities(signal)).immutability) return { extendedObjects: 0 };
  let until: Date | undefined;
  for (const prefix of ["vms/", "archives/"]) {
    for await (const { name, immutableUntil } of store.list(prefix, signal)) {
      if (!IS_MANIFEST.test(name) || immutableUntil === undefined) continue;
      if (until === undefined || immutableUntil > until) until = immutableUntil;
    }
  }
  if (until === undefined) return { extendedObjects: 0 };
  const end = until;
  const short: string[] = [];
  const prefixes = [objectNames.descriptor, objectNames.readme];
  for (const prefix of [...prefixes, objectNames.keySlots(key.repositoryKeyId)]) {
    for await (const { name, immutableUntil } of store.list(prefix, signal)) {
      const isOurs = prefix.endsWith("/") ? /\.(?:json|manifest)$/.test(name) : name === prefix;
      if (isOurs && (immutableUntil === undefined || immutableUntil < end)) short.push(name);
    }
  }
  await mapBounded(short, PARALLEL_EXTENSIONS, async (name) => {
    try {
      await store.extendImmutability(name, end, signal);
    } catch (error) {
      // A slot that was removed meanwhile.
      if (codeOf(error) !== "BlobNotFound") throw error;
    }
  });
  return { extendedObjects: short.length };
}
