import { codeOf } from "../../lib/errors.ts";

/** What a stored object can do wrong; anything else is a failure of the check itself. */
const DAMAGE_CODES = new Set([
  "RepositoryDamaged",
  "BlobNotFound",
  "BlobTooShort",
  // Somebody moved an object that must be online into the archive tier.
  "BlobArchived",
  "DiskPointNotFound",
  "VmPointNotFound",
  "ArchiveNotFound",
  "RetrievalNotFound",
  "InvalidRepositoryName",
]);

export function isDamage(error: unknown): boolean {
  return DAMAGE_CODES.has(codeOf(error));
}
