/**
 * What a health check found. A *finding* names one object (or some blocks in it), says what is
 * wrong and which restore points cannot be restored completely because of it.
 */
import { messageOf } from "../../lib/errors.ts";
import type { ArchiveName } from "../archive/archives.ts";
import type { ListedVmPoint } from "../vm-points.ts";

export type FindingKind =
  "missing" | "wrong-size" | "unreadable-metadata" | "unreadable-block" | "foreign";

export interface CheckFinding {
  readonly kind: FindingKind;
  /** Name of the object in the repository. */
  readonly object: string;
  readonly diskId?: string;
  /** First and number of blocks of the disk. */
  readonly blocks?: { readonly first: number; readonly count: number };
  /** Restore points that cannot be restored completely. */
  readonly affectedPoints: readonly ListedVmPoint[];
  /** Archives that cannot. The points that they are copies of may be sound. */
  readonly affectedArchives?: readonly ArchiveName[];
  readonly message: string;
}

/** Findings beyond this are counted only: each may name many restore points. */
export const KEPT_FINDINGS_MAX = 1000;

export class FindingList {
  readonly #kept: CheckFinding[] = [];
  readonly #affected = new Map<string, ListedVmPoint>();
  count = 0;

  add(finding: CheckFinding): void {
    this.count++;
    this.addAffected(finding.affectedPoints);
    if (this.#kept.length < KEPT_FINDINGS_MAX) this.#kept.push(finding);
  }

  /** Of findings that are only counted. */
  addAffected(points: readonly ListedVmPoint[]): void {
    for (const { vmId, pointId } of points) {
      this.#affected.set(`${vmId}/${pointId}`, { vmId, pointId });
    }
  }

  /** Every restore point that any finding affects, once. */
  get affectedPoints(): readonly ListedVmPoint[] {
    return [...this.#affected.values()];
  }

  get kept(): readonly CheckFinding[] {
    return this.#kept;
  }
}

/** A defect of one disk, before it is known which restore points of VMs it affects. */
export interface DiskDefect {
  readonly kind: Exclude<FindingKind, "foreign">;
  readonly object: string;
  readonly blocks?: { readonly first: number; readonly count: number };
  readonly message: string;
  /** False: a restore does not need what is damaged. */
  readonly harmsRestores: boolean;
}

interface RecordedDefect extends DiskDefect {
  readonly sequences: Set<number>;
}

/** Bound on the defects of one disk that are told apart; a disk with more is lost anyway. */
const DEFECTS_MAX = 10_000;

/** Defects of one disk; the same defect met in several points is one finding. */
export class DiskDefects {
  readonly #defects = new Map<string, RecordedDefect>();
  readonly #omittedSequences = new Set<number>();
  #omittedCount = 0;

  add(defect: DiskDefect, sequence: number): void {
    const key = `${defect.object} ${defect.kind} ${defect.blocks?.first ?? ""}`;
    const known = this.#defects.get(key);
    if (known !== undefined) known.sequences.add(sequence);
    else if (this.#defects.size >= DEFECTS_MAX) {
      this.#omittedCount++;
      if (defect.harmsRestores) this.#omittedSequences.add(sequence);
    } else this.#defects.set(key, { ...defect, sequences: new Set([sequence]) });
  }

  get omittedCount(): number {
    return this.#omittedCount;
  }

  /** Points of the disk that defects harm which are only counted. */
  get omittedSequences(): ReadonlySet<number> {
    return this.#omittedSequences;
  }

  /** Neighbouring blocks of one object that affect the same points are one finding. */
  joined(): readonly RecordedDefect[] {
    const sorted = [...this.#defects.values()].sort(
      (left, right) =>
        compareText(left.object, right.object) ||
        compareText(left.kind, right.kind) ||
        (left.blocks?.first ?? 0) - (right.blocks?.first ?? 0),
    );
    const joined: RecordedDefect[] = [];
    for (const defect of sorted) {
      const last = joined.at(-1);
      const blocks = last === undefined ? undefined : joinedBlocks(last, defect);
      if (last !== undefined && blocks !== undefined) {
        joined.splice(-1, 1, { ...last, blocks });
      } else joined.push(defect);
    }
    return joined;
  }
}

function joinedBlocks(left: RecordedDefect, right: RecordedDefect): DiskDefect["blocks"] {
  if (left.blocks === undefined || right.blocks === undefined) return undefined;
  const isContinued =
    left.object === right.object &&
    left.kind === right.kind &&
    left.message === right.message &&
    left.blocks.first + left.blocks.count === right.blocks.first &&
    left.sequences.size === right.sequences.size &&
    [...left.sequences].every((sequence) => right.sequences.has(sequence));
  if (!isContinued) return undefined;
  return { first: left.blocks.first, count: left.blocks.count + right.blocks.count };
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The reasons behind an error of the repository, from the outermost to the innermost. */
export function reasonsOf(error: unknown): string {
  const reasons: string[] = [];
  for (let at = error; at instanceof Error && reasons.length < 4; at = at.cause) {
    reasons.push(messageOf(at));
  }
  return reasons.length === 0 ? messageOf(error) : reasons.join(" Cause: ");
}
