import { HoldfastError } from "#core/lib/errors.ts";
import type { StoreLock } from "#core/ports/blob-store.ts";

/** A holder that stayed silent for this long is dead. */
export const LOCK_LIFETIME_MS = 60_000;
const RENEWAL_MS = 15_000;
/** Without a renewal for this long the lock may be over; the rest is for clocks and lost answers. */
const DOUBT_AFTER_MS = 45_000;
/** How often the holder looks at the clock, so that one that slept learns soon that it did. */
const LOOK_MS = 1_000;

interface KeptLock {
  readonly name: string;
  /** `Date.now()` before the lock was asked for. */
  readonly askedAt: number;
  /** Throws when the lock is certainly another's; `unknown` when no answer said so. */
  renew(): Promise<"renewed" | "unknown">;
  /** Never throws. */
  release(): Promise<unknown>;
}

export function lostLock(name: string): HoldfastError {
  return new HoldfastError("LockLost", `The lock ${name} was lost. Start again.`, {
    retry: "backoff",
    context: { name },
  });
}

/**
 * Renews a lock that is held, and gives it up as lost as soon as its holder cannot be sure: when it
 * is another's, when no renewal succeeded for a while, when the process or the machine slept. Time
 * is measured by two clocks, since the monotonic one stands still while a machine is suspended and
 * the other one may be set back; the longer time counts.
 */
export function watchLock(kept: KeptLock): StoreLock {
  const lost = new AbortController();
  let renewedAt = kept.askedAt;
  let renewedAtTick = performance.now() - (Date.now() - kept.askedAt);
  let isRenewing = false;
  const sinceRenewalMs = () => Math.max(Date.now() - renewedAt, performance.now() - renewedAtTick);

  const giveUp = (): void => {
    clearInterval(timer);
    lost.abort(lostLock(kept.name));
  };
  const renew = async (): Promise<void> => {
    isRenewing = true;
    const at = Date.now();
    const atTick = performance.now();
    try {
      if ((await kept.renew()) === "unknown" || lost.signal.aborted) return;
      renewedAt = at;
      renewedAtTick = atTick;
    } catch {
      giveUp();
    } finally {
      isRenewing = false;
    }
  };
  const timer = setInterval(() => {
    if (sinceRenewalMs() > DOUBT_AFTER_MS) giveUp();
    else if (!isRenewing && sinceRenewalMs() >= RENEWAL_MS) void renew();
  }, LOOK_MS);
  timer.unref();
  return {
    lost: lost.signal,
    release: async () => {
      clearInterval(timer);
      await kept.release();
    },
  };
}
