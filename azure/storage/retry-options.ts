/** Bounds of the SDKs' own retries: what lasts longer is for the caller to repeat. */
const TRIES_MAX = 4;
const DELAY_MS = 500;
const DELAY_MAX_MS = 8_000;
/** For requests of up to a block of a few MiB. */
const TRY_TIMEOUT_MS = 120_000;

export const BLOB_RETRY = {
  maxTries: TRIES_MAX,
  retryDelayInMs: DELAY_MS,
  maxRetryDelayInMs: DELAY_MAX_MS,
  tryTimeoutInMs: TRY_TIMEOUT_MS,
} as const;

export const QUEUE_RETRY = {
  maxTries: TRIES_MAX,
  retryDelayInMs: DELAY_MS,
  maxRetryDelayInMs: DELAY_MAX_MS,
} as const;

export const TABLE_RETRY = {
  maxRetries: TRIES_MAX - 1,
  retryDelayInMs: DELAY_MS,
  maxRetryDelayInMs: DELAY_MAX_MS,
} as const;
