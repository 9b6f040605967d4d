/**
 * Retention of the restore points of one VM in one repository. When a point expires depends only on
 * when it was taken, on its policy's rules and on which points stand before it in the same day, week,
 * month or year: so it is known when the point is made, does not jump when others go, and planning
 * again after the expired ones are gone expires nothing more. The first point of a period stands for
 * it; a damaged point stands for none unless no sound one is there.
 *
 * Whatever the rules say: the newest sound point never expires.
 */
import type { Retention } from "../model/retention.ts";
import { periodKey, periodStartAfter, type Period } from "./local-calendar.ts";

export interface RetentionRules extends Retention {
  /** Only points of one policy are compared: another one's may go earlier. */
  readonly policyId: string;
  readonly timeZone: string;
}

export interface RetainedPoint {
  readonly pointId: string;
  readonly takenAt: string;
  /** Whose rules count; none for points on demand, imported ones and those of deleted policies. */
  readonly rules?: RetentionRules | undefined;
  /** Stated for this point: it stays until then whatever the rules say. */
  readonly keepUntil?: string | undefined;
  readonly immutableUntil?: string | undefined;
  /** False: it cannot be restored completely. */
  readonly isSound: boolean;
}

export interface RetentionDecision {
  readonly pointId: string;
  readonly decision: "keep" | "expire";
  readonly reasons: readonly string[];
}

const DAY_MS = 24 * 3600 * 1000;
const CALENDAR_RULES = [
  ["daily", "day"],
  ["weekly", "week"],
  ["monthly", "month"],
  ["yearly", "year"],
] as const satisfies readonly [keyof Retention, Period][];

interface Hold {
  readonly until: Date;
  readonly reason: string;
}

/** @param points all points of one VM in one repository, in any order */
export function planRetention(
  points: readonly RetainedPoint[],
  now: Date,
): readonly RetentionDecision[] {
  const ordered = points.toSorted(compare);
  const newest = newestSound(ordered);
  const firsts = findFirsts(ordered);
  return ordered.map((point): RetentionDecision => {
    const reasons: string[] = [];
    if (newest.has(point.pointId))
      reasons.push(
        newest.get(point.pointId) === 0 ? "the newest restore point" : "one of the latest points",
      );
    const holds = holdsOf(point, firsts.get(point.pointId));
    if (holds === undefined) reasons.push("no rule says how long it stays");
    for (const hold of holds ?? []) {
      if (hold.until.getTime() > now.getTime())
        reasons.push(`${hold.reason} until ${hold.until.toISOString()}`);
    }
    if (reasons.length > 0) return { pointId: point.pointId, decision: "keep", reasons };
    const ended = Math.max(...(holds ?? []).map(({ until }) => until.getTime()));
    const reason = Number.isFinite(ended)
      ? `expired at ${new Date(ended).toISOString()}`
      : "no rule keeps it";
    return { pointId: point.pointId, decision: "expire", reasons: [reason] };
  });
}

/**
 * When a point expires by its rules and by what is stated for it; `undefined`: never by itself.
 *
 * @param earlier points of the same VM in the same repository; only those before it count
 */
export function expiryOf(
  point: RetainedPoint,
  earlier: readonly RetainedPoint[],
): Date | undefined {
  const before = earlier.filter((each) => compare(each, point) < 0);
  const firsts = findFirsts([...before.toSorted(compare), point]);
  const holds = holdsOf(point, firsts.get(point.pointId));
  if (holds === undefined) return undefined;
  const last = Math.max(Date.parse(point.takenAt), ...holds.map(({ until }) => until.getTime()));
  return new Date(last);
}

/** Periods that each point stands for. @param ordered by time */
function findFirsts(ordered: readonly RetainedPoint[]): Map<string, ReadonlySet<Period>> {
  const takenBySound = new Set<string>();
  const takenByAny = new Set<string>();
  const firsts = new Map<string, ReadonlySet<Period>>();
  for (const { pointId, takenAt, rules, isSound } of ordered) {
    if (rules === undefined) continue;
    const first = new Set<Period>();
    for (const [rule, period] of CALENDAR_RULES) {
      if (rules[rule] === 0) continue;
      const start = periodKey(new Date(takenAt), period, rules.timeZone);
      const key = `${rules.policyId} ${period} ${start}`;
      if (!(isSound ? takenBySound : takenByAny).has(key)) first.add(period);
      takenByAny.add(key);
      if (isSound) takenBySound.add(key);
    }
    firsts.set(pointId, first);
  }
  return firsts;
}

/** What holds a point and until when; `undefined` when nobody has said how long it stays. */
function holdsOf(
  point: RetainedPoint,
  firstOf: ReadonlySet<Period> | undefined,
): readonly Hold[] | undefined {
  const { rules, keepUntil, immutableUntil } = point;
  if (rules === undefined && keepUntil === undefined) return undefined;
  const holds: Hold[] = [];
  if (keepUntil !== undefined)
    holds.push({ until: new Date(keepUntil), reason: "stated for this point:" });
  if (immutableUntil !== undefined)
    holds.push({ until: new Date(immutableUntil), reason: "immutable" });
  if (rules === undefined) return holds;
  const takenAt = new Date(point.takenAt);
  if (rules.days > 0)
    holds.push({
      until: new Date(takenAt.getTime() + rules.days * DAY_MS),
      reason: `within ${rules.days} days`,
    });
  for (const [rule, period] of CALENDAR_RULES) {
    if (firstOf?.has(period) !== true) continue;
    holds.push({
      until: periodStartAfter(takenAt, period, rules[rule], rules.timeZone),
      reason: `first of its ${period}, one of ${rules[rule]}`,
    });
  }
  return holds;
}

/** Rank of each point that the minimum keeps, from the newest sound one on. */
function newestSound(ordered: readonly RetainedPoint[]): Map<string, number> {
  const minimum = Math.max(1, ...ordered.map(({ rules }) => rules?.minimumCount ?? 1));
  const sound = ordered.filter(({ isSound }) => isSound);
  return new Map(
    sound
      .slice(-minimum)
      .toReversed()
      .map(({ pointId }, rank) => [pointId, rank]),
  );
}

function compare(left: RetainedPoint, right: RetainedPoint): number {
  const difference = Date.parse(left.takenAt) - Date.parse(right.takenAt);
  if (difference !== 0) return difference;
  return left.pointId < right.pointId ? -1 : left.pointId > right.pointId ? 1 : 0;
}
