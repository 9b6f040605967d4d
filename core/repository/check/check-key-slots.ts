import { objectNames } from "../format/layout.ts";
import { listKeySlots } from "../key-slots.ts";
import { readFormerKeys } from "../repository-key.ts";
import { orFinding, type RepositoryCheck } from "./check-context.ts";

/**
 * Slots of the current key and the rewrap objects of all keys. Slots of earlier programs carry no
 * tag: only who has the secret of such a slot can tell that it opens.
 */
export async function checkKeySlots(check: RepositoryCheck): Promise<void> {
  const { repository, findings, progress, signal } = check;
  for (const { name, type } of await listKeySlots(repository, signal)) {
    progress.checkedObjects++;
    if (type !== "damaged") continue;
    const message = "The key slot cannot be read. Remove it, and add one for its secret.";
    findings.add({ kind: "unreadable-metadata", object: name, affectedPoints: [], message });
  }
  await checkRewraps(check);
}

/** Each key but the first has a rewrap object: without the current one, former keys are lost. */
async function checkRewraps(check: RepositoryCheck): Promise<void> {
  const { repository, signal } = check;
  const { store, descriptor, key } = repository;
  const present = new Set<string>();
  for await (const { name } of store.list(objectNames.keys, signal)) present.add(name);
  for (const sealedBy of [key, ...(key.former ?? [])]) {
    const { repositoryKeyId } = sealedBy;
    if (repositoryKeyId === descriptor.keyId) continue;
    const object = objectNames.keyRewrap(repositoryKeyId);
    const kind = present.has(object) ? "unreadable-metadata" : "missing";
    await orFinding(
      check,
      { kind, object, affectedPoints: [] },
      readFormerKeys(store, descriptor, sealedBy, signal),
    );
  }
}
