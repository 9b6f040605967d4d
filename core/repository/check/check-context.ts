/** What the parts of a health check share: what was asked for, what was found, how far it is. */
import { codeOf } from "../../lib/errors.ts";
import type { BlobStore } from "../../ports/blob-store.ts";
import type { BlockCodec } from "../codec/block-codec.ts";
import type { Repository } from "../repository.ts";
import type { ListedVmPoint } from "../vm-points.ts";
import { isDamage } from "./damage.ts";
import type { DamageRecorder } from "./damage-recorder.ts";
import type { DiskObjects } from "./disk-objects.ts";
import {
  reasonsOf,
  type CheckFinding,
  type DiskDefect,
  type DiskDefects,
  type FindingList,
} from "./findings.ts";

export interface CheckRepositoryOptions {
  readonly level: "presence" | "metadata" | "sample" | "complete";
  /** Of the blocks, at level `sample`. */
  readonly samplePercent: number;
  /** Absent: the whole repository, foreign objects included. */
  readonly vmIds?: readonly string[];
  /** Chooses the sample: other bytes, other blocks. */
  readonly random: (byteCount: number) => Uint8Array;
  readonly codec?: BlockCodec;
  /** Absent: nothing is written. */
  readonly quarantine?: { readonly now: Date; readonly foundBy: string };
  readonly onProgress?: (progress: CheckCounts) => void;
}

export interface CheckCounts {
  readonly checkedObjects: number;
  readonly checkedPoints: number;
  readonly verifiedBlocks: number;
  readonly readBytes: number;
}

export interface CheckReport extends CheckCounts {
  readonly level: CheckRepositoryOptions["level"];
  readonly findingCount: number;
  /** The first 1,000. */
  readonly findings: readonly CheckFinding[];
  /** All restore points that cannot be restored completely, also of findings beyond those. */
  readonly affectedPoints: readonly ListedVmPoint[];
}

export interface CheckProgress {
  checkedObjects: number;
  checkedPoints: number;
  verifiedBlocks: number;
  readBytes: number;
  tell(): void;
}

export interface ContentLevel {
  readonly kind: CheckRepositoryOptions["level"];
  readonly codec: BlockCodec;
  /** Level `sample`: which of so many blocks to verify. */
  choose(count: number): readonly boolean[];
}

export interface RepositoryCheck {
  readonly repository: Repository;
  readonly options: CheckRepositoryOptions;
  readonly level: ContentLevel;
  readonly findings: FindingList;
  readonly progress: CheckProgress;
  readonly signal: AbortSignal;
}

/** What a check of one disk reads: the repository, or the folders of an archive as if they were one. */
export type CheckedStore = Pick<BlobStore, "read" | "list" | "readProperties">;

export interface ContentCheck {
  readonly store: CheckedStore;
  readonly diskId: string;
  readonly objects: DiskObjects;
  readonly defects: DiskDefects;
  /** Damage that a later backup must not build on. */
  readonly damage: DamageRecorder;
  readonly level: ContentLevel;
  readonly progress: CheckProgress;
  readonly signal: AbortSignal;
}

export interface DiskCheck extends ContentCheck {
  readonly repository: Repository;
}

/** Runs a check of one object that is not part of a disk; damage becomes a finding. */
export async function orFinding(
  { findings, progress }: RepositoryCheck,
  finding: Omit<CheckFinding, "message">,
  work: Promise<unknown>,
): Promise<void> {
  progress.checkedObjects++;
  try {
    await work;
  } catch (error) {
    if (!isDamage(error)) throw error;
    findings.add({ ...finding, message: reasonsOf(error) });
  }
}

/**
 * Damage becomes a defect of the point and `undefined`; other errors end the check.
 * @param sequence 0: of no point
 */
export async function orDefect<Value>(
  check: Pick<ContentCheck, "defects">,
  sequence: number,
  defect: Pick<DiskDefect, "kind" | "object" | "blocks"> & { readonly harmsRestores?: boolean },
  work: Promise<Value>,
): Promise<Value | undefined> {
  try {
    return await work;
  } catch (error) {
    if (!isDamage(error)) throw error;
    // Deleted between listing and reading: retention and garbage collection may run meanwhile.
    const code = codeOf(error);
    if (code === "DiskPointNotFound" || (code === "BlobNotFound" && sequence === 0)) {
      return undefined;
    }
    const harmsRestores = defect.harmsRestores ?? true;
    const effect = harmsRestores ? "" : " Restores do not need this part.";
    check.defects.add(
      { ...defect, message: `${reasonsOf(error)}${effect}`, harmsRestores },
      sequence,
    );
    return undefined;
  }
}
