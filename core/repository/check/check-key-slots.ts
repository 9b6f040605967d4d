import { listKeySlots } from "../key-slots.ts";
import type { RepositoryCheck } from "./check-context.ts";

/**
 * Slots of the current key. Only who has the secret of a slot can tell that it opens: here it is
 * seen that a slot is understood and belongs to this repository.
 */
export async function checkKeySlots({ repository, findings, progress, signal }: RepositoryCheck) {
  for (const { name, type } of await listKeySlots(repository, signal)) {
    progress.checkedObjects++;
    if (type !== "damaged") continue;
    const message = "The key slot cannot be read. Remove it, and add one for its secret.";
    findings.add({ kind: "unreadable-metadata", object: name, affectedPoints: [], message });
  }
}
