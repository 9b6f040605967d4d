/**
 * *Carry-forward* is compaction without rewriting history. A pack of which a new point would use
 * only a small part is emptied: the next incremental stores those blocks again in its own packs.
 * Older points keep the old pack until they expire; then it is garbage. No manifest changes.
 */
import type { Root } from "../format/root.ts";

export interface CarryForwardLimits {
  /** Packs of which the parent uses less than this part of their bytes are emptied. */
  readonly liveShareBelow: number;
  /** Younger packs stay: they may be used less only for now, and cool storage bills 30 days. */
  readonly minimumAgeSeconds: number;
  /** Stored bytes that one backup moves at most: compaction must not outweigh the backup. */
  readonly maxMovedBytes: number;
}

const DAY_SECONDS = 24 * 60 * 60;

export const DEFAULT_CARRY_FORWARD: CarryForwardLimits = {
  liveShareBelow: 0.3,
  minimumAgeSeconds: 30 * DAY_SECONDS,
  maxMovedBytes: 256 * 1024 * 1024,
};

/** Packs that one backup empties at most: each costs three small reads first. */
const MAX_PACKS = 64;

export interface CandidatePack {
  readonly packId: string;
  readonly objectBytes: number;
  readonly liveBytes: number;
  readonly liveShare: number;
}

/**
 * Packs of the parent's root that are hardly used, oldest first (an id begins with the number of
 * the point that wrote it). Whether they are old enough is known by the store: `planCarryForward`.
 * @param keyNumber of the key that the new point writes with: hashes under others do not compare
 */
export function chooseCandidates(
  root: Root,
  keyNumber: number,
  limits: CarryForwardLimits,
): CandidatePack[] {
  const candidates: CandidatePack[] = [];
  for (const [packId, use] of root.packs) {
    if (use.keyNumber !== keyNumber || use.objectBytes === 0) continue;
    const { objectBytes, liveBytes } = use;
    const liveShare = liveBytes / objectBytes;
    if (liveShare >= limits.liveShareBelow) continue;
    candidates.push({ packId, objectBytes, liveBytes, liveShare });
  }
  const sequenceOf = (pack: CandidatePack): string => pack.packId.slice(0, 8);
  return candidates
    .sort(
      (left, right) =>
        sequenceOf(left).localeCompare(sequenceOf(right)) || left.liveShare - right.liveShare,
    )
    .slice(0, MAX_PACKS);
}

export interface CarryForwardPlan {
  /** Packs that the new point shall not refer to any more. */
  readonly packs: readonly CandidatePack[];
  readonly movedBytes: number;
  readonly left: readonly {
    readonly packId: string;
    readonly reason: "too-young" | "missing" | "enough-for-one-backup";
  }[];
}

/** @param facts.storedAt when each candidate was stored; one without an entry is not there */
export function planCarryForward(
  root: Root,
  facts: {
    readonly keyNumber: number;
    readonly storedAt: ReadonlyMap<string, Date>;
    readonly now: Date;
  },
  limits: CarryForwardLimits = DEFAULT_CARRY_FORWARD,
): CarryForwardPlan {
  const packs: CandidatePack[] = [];
  const left: CarryForwardPlan["left"][number][] = [];
  let movedBytes = 0;
  for (const pack of chooseCandidates(root, facts.keyNumber, limits)) {
    const { packId } = pack;
    const storedAt = facts.storedAt.get(packId);
    const ageSeconds = (facts.now.getTime() - (storedAt?.getTime() ?? 0)) / 1000;
    if (storedAt === undefined) left.push({ packId, reason: "missing" });
    else if (ageSeconds < limits.minimumAgeSeconds) left.push({ packId, reason: "too-young" });
    else if (movedBytes + pack.liveBytes > limits.maxMovedBytes) {
      left.push({ packId, reason: "enough-for-one-backup" });
    } else {
      packs.push(pack);
      movedBytes += pack.liveBytes;
    }
  }
  return { packs, movedBytes, left };
}
