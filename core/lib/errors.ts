/**
 * The one error that crosses layers. Expected outcomes are return values; this is thrown when a
 * step cannot go on. Adapters translate SDK errors to it exactly once.
 */
export type RetryAdvice = "never" | "backoff";

export interface HoldfastErrorOptions {
  /** `never`: the same call fails again; `backoff`: the cause may pass (throttling, network). */
  readonly retry?: RetryAdvice;
  /** Ids that help to find the object; never a secret, a SAS or a token. */
  readonly context?: Readonly<Record<string, string | number | boolean>>;
  readonly cause?: unknown;
}

export class HoldfastError extends Error {
  override readonly name = "HoldfastError";
  /** Stable, PascalCase, e.g. `SnapshotNotFound`. Callers branch on it. */
  readonly code: string;
  readonly retry: RetryAdvice;
  readonly context: Readonly<Record<string, string | number | boolean>>;

  /** @param message what failed, on what, and what to do about it */
  constructor(code: string, message: string, options: HoldfastErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? "never";
    this.context = options.context ?? {};
  }
}

/** Text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a HoldfastError, or a general one for what is not. */
export function codeOf(error: unknown): string {
  return error instanceof HoldfastError ? error.code : "Unexpected";
}

/** True when trying the same call again can help. */
export function isRetryable(error: unknown): boolean {
  return error instanceof HoldfastError && error.retry === "backoff";
}
