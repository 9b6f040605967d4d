/** The commit of a disk point: its manifest, created only if absent. */
import { HoldfastError } from "../../lib/errors.ts";
import { readDiskPoint, type DiskPoint } from "../disk-points.ts";
import { sealEnvelope } from "../format/envelope.ts";
import { ID_BYTES, LEAF_BLOCKS, objectNames } from "../format/layout.ts";
import type { DiskPointManifest, DiskPointStats } from "../format/manifests.ts";
import { createOptionsOf } from "../immutability.ts";
import type { DataKeyList } from "./disk-state.ts";
import type { DiskShape } from "./plan-runs.ts";
import type { Attempt } from "./write-attempt.ts";
import type { WriteDiskPointOptions, WrittenDiskPoint } from "./write-options.ts";

/** A point whose packs and indexes all lie in the store. */
export interface DraftPoint {
  readonly attempt: Pick<
    Attempt,
    "repository" | "sequence" | "parent" | "mode" | "immutability"
  > & {
    readonly options: Pick<WriteDiskPointOptions, "diskId" | "pointId" | "now" | "random">;
  };
  readonly shape: DiskShape;
  readonly dataKeys: DataKeyList;
  readonly stats: DiskPointStats;
  readonly rootReference: DiskPointManifest["root"];
  readonly healedBlocks: number;
}

/** Throws `DiskPointConflict` when another backup took the sequence number. */
export async function commitDiskPoint(
  draft: DraftPoint,
  signal: AbortSignal,
): Promise<WrittenDiskPoint> {
  const { repository, options, sequence, parent, mode, immutability } = draft.attempt;
  const { diskId, pointId } = options;
  const name = objectNames.diskPoint(diskId, sequence);
  const fullReason = mode.kind === "full" ? mode.reason : undefined;
  const changeHintWrong = fullReason === "change-hint-wrong";
  const manifest: DiskPointManifest = {
    format: 1,
    diskId,
    sequence,
    pointId,
    createdAt: options.now().toISOString(),
    ...draft.shape,
    leafBlocks: LEAF_BLOCKS,
    kind: mode.kind,
    parentSequence: parent?.point.manifest.sequence ?? null,
    changeHintWrong,
    dataKeys: draft.dataKeys,
    root: draft.rootReference,
    stats: draft.stats,
  };
  const objectId = options.random(ID_BYTES);
  const manifestId = Buffer.from(objectId).toString("hex");
  const envelope = { kind: "diskPoint", name, objectId, document: manifest } as const;
  const body = sealEnvelope(repository.key, envelope);
  // A lost lock aborts the signal: somebody else may be the writer now.
  signal.throwIfAborted();
  const { store } = repository;
  if ((await store.create(name, body, signal, createOptionsOf(immutability))) === "exists") {
    const winner = await readDiskPoint(repository, diskId, sequence, signal);
    const isOurs = winner.reference.manifestId === manifestId;
    if (!isOurs && winner.manifest.pointId === pointId) return committedBefore(winner);
    if (!isOurs) throw conflict(diskId, sequence);
  }
  return {
    reference: { diskId, sequence, manifestId },
    manifest,
    kind: mode.kind,
    fullReason,
    changeHintWrong,
    stats: draft.stats,
    healedBlocks: draft.healedBlocks,
    alreadyCommitted: false,
  };
}

export function committedBefore(point: DiskPoint): WrittenDiskPoint {
  const { reference, manifest } = point;
  return {
    reference,
    manifest,
    kind: manifest.kind,
    fullReason: undefined,
    changeHintWrong: manifest.changeHintWrong,
    stats: manifest.stats,
    healedBlocks: 0,
    alreadyCommitted: true,
  };
}

function conflict(diskId: string, sequence: number): HoldfastError {
  return new HoldfastError(
    "DiskPointConflict",
    `Another writer committed point ${sequence} of disk ${diskId} first. Nothing was lost; ` +
      "run this backup again.",
    { retry: "backoff", context: { diskId, sequence } },
  );
}
