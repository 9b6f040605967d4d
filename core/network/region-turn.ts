/**
 * Turn: which session changes the private network of a region now. It saves requests and is no lock:
 * changes can be repeated, and a session that keeps its turn for longer than its lease is joined by
 * the next one, so that nobody waits for a dead one.
 */
export interface RegionTurn {
  /** Whose turn it is; nobody's when it is missing. */
  readonly holder?: string;
  /** Milliseconds since the epoch, as all times here. */
  readonly expiresAt: number;
}

export const FREE_TURN: RegionTurn = { expiresAt: 0 };

export function isFree({ holder, expiresAt }: RegionTurn, now: number): boolean {
  return holder === undefined || expiresAt <= now;
}

export interface TakeTurn {
  readonly holder: string;
  readonly now: number;
  readonly leaseMs: number;
}

/** Takes the turn where it is free, or renews the holder's own. */
export function takeTurn(
  before: RegionTurn,
  { holder, now, leaseMs }: TakeTurn,
): { readonly turn: RegionTurn; readonly isOurs: boolean } {
  const isOurs = before.holder === holder || isFree(before, now);
  return { isOurs, turn: isOurs ? { holder, expiresAt: now + leaseMs } : before };
}

/** Gives the turn back; that of somebody else stays. */
export function leaveTurn(before: RegionTurn, holder: string): RegionTurn {
  return before.holder === holder ? FREE_TURN : before;
}
