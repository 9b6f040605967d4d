import { objectNames } from "../format/layout.ts";
import { readQuarantineRecord } from "../quarantine.ts";
import { orFinding, type RepositoryCheck } from "./check-context.ts";
import { readGarbageLists } from "../maintenance/garbage-lists.ts";

/** Records that no restore needs: of former checks, and of garbage collections. */
export async function checkDiskRecords(check: RepositoryCheck, diskId: string): Promise<void> {
  const { repository, findings, signal } = check;
  for await (const { name } of repository.store.list(objectNames.quarantines(diskId), signal)) {
    await orFinding(
      check,
      { kind: "unreadable-metadata", object: name, diskId, affectedPoints: [] },
      readQuarantineRecord(repository, diskId, name, signal),
    );
  }
  const { lists, unreadable } = await readGarbageLists(repository, diskId, signal);
  check.progress.checkedObjects += lists.length + unreadable.length;
  for (const object of unreadable) {
    const message = "The list of garbage cannot be read. No restore needs it.";
    findings.add({ kind: "unreadable-metadata", object, diskId, affectedPoints: [], message });
  }
}
