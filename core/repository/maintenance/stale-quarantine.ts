import { codeOf } from "../../lib/errors.ts";
import { objectNames } from "../format/layout.ts";
import { readQuarantineRecord } from "../quarantine.ts";
import type { Repository } from "../repository.ts";
import { isUnreadable } from "./live-objects.ts";

/**
 * Names of quarantine records that are over: no root of the disk names any object on them, so that
 * nothing new can refer to one. Records that cannot be read stay; a health check names them.
 */
export async function findStaleQuarantine(
  repository: Repository,
  diskId: string,
  liveNames: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<{ readonly name: string; readonly sizeBytes: number }[]> {
  const stale: { name: string; sizeBytes: number }[] = [];
  const { store } = repository;
  for await (const { name, sizeBytes } of store.list(objectNames.quarantines(diskId), signal)) {
    try {
      const { objects } = await readQuarantineRecord(repository, diskId, name, signal);
      const isLive = objects.some(({ kind, id }) =>
        liveNames.has(
          kind === "pack" ? objectNames.pack(diskId, id) : objectNames.index(diskId, id),
        ),
      );
      if (!isLive) stale.push({ name, sizeBytes });
    } catch (error) {
      const code = codeOf(error);
      if (code !== "BlobNotFound" && !isUnreadable(code)) throw error;
    }
  }
  return stale;
}
