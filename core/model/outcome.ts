import { HoldfastError, codeOf, isRetryable, messageOf, type RetryAdvice } from "../lib/errors.ts";

/**
 * Outcome: what a step of an orchestration answers. Steps do not throw, because an exception loses
 * its code on the way through an orchestration's history; their answer is plain JSON.
 */
export interface StepError {
  readonly code: string;
  readonly message: string;
  readonly retry: RetryAdvice;
  /** How long the other side asked to wait before the next attempt. */
  readonly retryAfterSeconds?: number;
}

export type Outcome<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: StepError };

export function succeed<Value>(value: Value): Outcome<Value> {
  return { ok: true, value };
}

export function fail(
  code: string,
  message: string,
  retry: RetryAdvice = "never",
): { readonly ok: false; readonly error: StepError } {
  return { ok: false, error: { code, message, retry } };
}

/** The outcome of anything that was thrown; the text goes through `redact`, it may end in a table. */
export function failureOf(error: unknown): { readonly ok: false; readonly error: StepError } {
  const failure = fail(
    codeOf(error),
    redact(messageOf(error)),
    isRetryable(error) ? "backoff" : "never",
  );
  const seconds = error instanceof HoldfastError ? error.context["retryAfterSeconds"] : undefined;
  if (typeof seconds !== "number") return failure;
  return { ok: false, error: { ...failure.error, retryAfterSeconds: seconds } };
}

const SECRET_PATTERNS: readonly [RegExp, string][] = [
  // Signature of a SAS in a URL or a query string.
  [/([?&]sig=)[^&\s"']+/gi, "$1***"],
  // Bearer tokens (no word of prose is as long), and JWTs or JWEs wherever they stand.
  [/(bearer\s+)[A-Za-z0-9._~+/=-]{16,}/gi, "$1***"],
  [/\beyJ[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*){2,4}/g, "***"],
  [
    /((?:AccountKey|SharedAccessSignature|password|secret)["']?\s*[=:]\s*["']?)[^;,"'\s}]+/gi,
    "$1***",
  ],
];

/** Text without SAS signatures, tokens, keys and passwords. */
export function redact(text: string): string {
  return SECRET_PATTERNS.reduce((left, [pattern, by]) => left.replace(pattern, by), text);
}
