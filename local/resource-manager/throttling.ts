/**
 * Token buckets. Reads, writes and deletes of one principal on one subscription draw from general
 * buckets (https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling);
 * providers add their own, such as four writes a minute on one VM.
 */
import { ArmError } from "./arm-error.ts";
import type { BucketUse, Method } from "./provider.ts";

export interface GeneralLimit {
  readonly capacity: number;
  readonly refillPerMinute: number;
}

export interface GeneralLimits {
  readonly reads: GeneralLimit;
  readonly writes: GeneralLimit;
  readonly deletes: GeneralLimit;
}

/** Azure's figures: 250 reads refilled at 25 a second, 200 writes and deletes at 10 a second. */
export const azureGeneralLimits: GeneralLimits = {
  reads: { capacity: 250, refillPerMinute: 1500 },
  writes: { capacity: 200, refillPerMinute: 600 },
  deletes: { capacity: 200, refillPerMinute: 600 },
};

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

export class Throttle {
  readonly #buckets = new Map<string, Bucket>();
  readonly #now: () => Date;
  readonly #limits: GeneralLimits;
  #refusals: { count: number; retryAfterSeconds: number } = { count: 0, retryAfterSeconds: 1 };

  constructor(now: () => Date, limits: GeneralLimits) {
    this.#now = now;
    this.#limits = limits;
  }

  /** The next `count` requests are refused with 429, whatever they are. */
  throttleNext(count: number, retryAfterSeconds = 1): void {
    this.#refusals = { count, retryAfterSeconds };
  }

  /** Throws 429 while refusals are on order. */
  takeOrdered(): void {
    if (this.#refusals.count === 0) return;
    this.#refusals.count -= 1;
    throw tooManyRequests(this.#refusals.retryAfterSeconds);
  }

  /** Draws one general token; returns the header that tells what is left. Throws 429. */
  takeGeneral(
    method: Method,
    who: { subscriptionId: string; principalId: string },
  ): Readonly<Record<string, string>> {
    const kind = generalKind(method);
    const limit = this.#limits[kind];
    const key = `${kind}:${who.subscriptionId}:${who.principalId}`.toLowerCase();
    const left = this.#take({ key, ...limit });
    if (left.ok) return { [`x-ms-ratelimit-remaining-subscription-${kind}`]: String(left.tokens) };
    const verb = kind.slice(0, -1);
    throw new ArmError(
      429,
      "SubscriptionRequestsThrottled",
      `Number of '${verb}' requests for subscription '${who.subscriptionId}' actor '${who.principalId}' exceeded. Please try again after '${left.retryAfterSeconds}' seconds after additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information.`,
      { headers: { "retry-after": String(left.retryAfterSeconds) } },
    );
  }

  /** Draws one token from each bucket. Throws 429 at the first empty one. */
  take(uses: readonly BucketUse[]): void {
    for (const use of uses) {
      const left = this.#take(use);
      if (left.ok) continue;
      const { code, message } = use.refusal ?? {
        code: "TooManyRequests",
        message: `The request is being throttled as the limit has been reached for operation type - ${use.key.split(":")[0] ?? use.key}. For more information, see - https://aka.ms/srpthrottlinglimits`,
      };
      throw new ArmError(429, code, message, {
        headers: { "retry-after": String(left.retryAfterSeconds) },
      });
    }
  }

  #take(use: { key: string } & GeneralLimit): {
    ok: boolean;
    tokens: number;
    retryAfterSeconds: number;
  } {
    const nowMs = this.#now().getTime();
    const bucket = this.#buckets.get(use.key) ?? { tokens: use.capacity, filledAtMs: nowMs };
    const perMs = use.refillPerMinute / 60_000;
    const tokens = Math.min(use.capacity, bucket.tokens + (nowMs - bucket.filledAtMs) * perMs);
    const ok = tokens >= 1;
    const rest = ok ? tokens - 1 : tokens;
    this.#buckets.set(use.key, { tokens: rest, filledAtMs: nowMs });
    const retryAfterSeconds = ok ? 0 : Math.max(1, Math.ceil((1 - tokens) / perMs / 1000));
    return { ok, tokens: Math.floor(rest), retryAfterSeconds };
  }
}

function generalKind(method: Method): keyof GeneralLimits {
  if (method === "GET") return "reads";
  return method === "DELETE" ? "deletes" : "writes";
}

function tooManyRequests(retryAfterSeconds: number): ArmError {
  return new ArmError(
    429,
    "TooManyRequests",
    "The request is being throttled. Please try again later.",
    {
      headers: { "retry-after": String(retryAfterSeconds) },
    },
  );
}
