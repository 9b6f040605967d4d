import type { Policy } from "#core/model/policy.ts";
import type { Repository } from "#core/model/repository.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import {
  expiryOf,
  type RetainedPoint,
  type RetentionRules,
} from "#core/retention/plan-retention.ts";
import type { AppContext } from "../app-context.ts";

/** Restore points with the rules of their policies as they are now. */
export async function readRules({ records }: AppContext): Promise<Map<string, RetentionRules>> {
  const rules = new Map<string, RetentionRules>();
  for await (const { value } of records.policies.list()) rules.set(value.policyId, rulesOf(value));
  return rules;
}

function rulesOf({ policyId, retention, schedule }: Policy): RetentionRules {
  return { ...retention, policyId, timeZone: schedule.timeZone };
}

/** Points of deleted policies, imported ones and those on demand have no rules. */
export function retainedPointOf(
  point: Omit<RestorePoint, "vm" | "disks" | "vmName">,
  rules: ReadonlyMap<string, RetentionRules>,
): RetainedPoint {
  return {
    pointId: point.pointId,
    takenAt: point.takenAt,
    rules: point.policyId === undefined ? undefined : rules.get(point.policyId),
    keepUntil: point.keepUntil,
    immutableUntil: point.immutableUntil,
    isSound: point.state === "available" && point.damaged === undefined,
  };
}

const DAY_MS = 24 * 3600 * 1000;

/**
 * How long a point that is about to be made is immutable: as long as retention will keep it, by what
 * is known now, and for the repository's least number of days.
 *
 * @param points the VM's points that exist
 */
export function chooseImmutableUntil(
  { immutability, repositoryId }: Repository,
  point: Pick<RestorePoint, "pointId" | "vmId" | "takenAt" | "policyId" | "keepUntil">,
  points: readonly RestorePoint[],
  rules: ReadonlyMap<string, RetentionRules>,
): string | undefined {
  if (immutability.kind === "off") return undefined;
  const least = Date.parse(point.takenAt) + immutability.days * DAY_MS;
  const earlier = points
    .filter((each) => each.repositoryId === repositoryId && each.state !== "expiring")
    .map((each) => retainedPointOf(each, rules));
  const self = retainedPointOf({ ...point, repositoryId, state: "available" }, rules);
  const expiry = expiryOf(self, earlier)?.getTime() ?? least;
  return new Date(Math.max(least, expiry)).toISOString();
}
