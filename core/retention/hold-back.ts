/**
 * The safety gate of retention: a mistaken rule or a long pause of the control plane must not take
 * most of a VM's restore points at once. Such a VM is held back until somebody confirms.
 */
import type { RetentionDecision } from "./plan-retention.ts";

/** So many points of a VM may always go at once: a small set loses its share quickly. */
export const HELD_COUNT_MIN = 5;
/** Above this share of a VM's points nothing of it goes without confirmation. */
export const HELD_SHARE = 0.5;

/** Why the decisions of one VM must not be carried out unless confirmed; nothing when they may. */
export function whyHeldBack(decisions: readonly RetentionDecision[]): string | undefined {
  const expiring = decisions.filter(({ decision }) => decision === "expire").length;
  if (expiring <= HELD_COUNT_MIN || expiring <= decisions.length * HELD_SHARE) return undefined;
  return `${expiring} of ${decisions.length} restore points would go at once`;
}
