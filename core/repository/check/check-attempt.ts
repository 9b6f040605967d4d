import { readDiskPart } from "../disk-parts.ts";
import { openEnvelope } from "../format/envelope.ts";
import { attemptSchema, parseManifest } from "../format/manifests.ts";
import { unwrapDataKey } from "../format/keys.ts";
import type { DiskCheck } from "./check-context.ts";
import { isDamage } from "./damage.ts";
import { codeOf } from "../../lib/errors.ts";
import { reasonsOf } from "./findings.ts";
import { readManifestObject } from "../read-whole.ts";

/** Attempts and records of parts serve writers of a point to come: no restore point needs them. */
export async function checkAttempt(check: DiskCheck, name: string): Promise<void> {
  const { repository, diskId, defects, progress, signal } = check;
  progress.checkedObjects++;
  try {
    if (name.includes("-part-")) {
      await readDiskPart(repository, diskId, name, signal);
      return;
    }
    const bytes = await readManifestObject(repository.store, name, signal);
    const { document, sealedBy } = openEnvelope(repository.key, "attempt", name, bytes);
    const { dataKey } = parseManifest(attemptSchema, name, document);
    unwrapDataKey(sealedBy.repositoryKey, { diskId, keyId: dataKey.keyId }, dataKey.wrapped);
  } catch (error) {
    if (!isDamage(error)) throw error;
    if (codeOf(error) === "BlobNotFound") return;
    const message = `${reasonsOf(error)} No restore needs it; the next backup replaces it.`;
    defects.add({ kind: "unreadable-metadata", object: name, message, harmsRestores: false }, 0);
  }
}
