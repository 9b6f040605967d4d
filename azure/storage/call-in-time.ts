import { HoldfastError } from "#core/lib/errors.ts";
import { NO_ANSWER } from "#core/network/network-errors.ts";
import { callAzure, readAzure } from "../errors.ts";

export interface CallBounds {
  /** Of one try, with the SDK's own retries of answers such as 503 in it. */
  readonly tryMs: number;
  readonly triesMax: number;
}

/** Small requests are answered within a second or two; this is far above that. */
export const SMALL_CALL_BOUNDS: CallBounds = { tryMs: 15_000, triesMax: 3 };

/**
 * As `callAzure`, for a small request that may be repeated. When a private network changes, a
 * connection that was kept is dead without a sign: a request over it gets no answer until TCP gives
 * up after many minutes. A try that is late is ended, and the next one goes over a new connection.
 * Throws `NoAnswer` (retry) after the last one.
 */
export async function callInTime<Result>(
  action: string,
  bounds: CallBounds,
  call: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return callAzure(action, () => tryInTime(action, bounds, call));
}

/** As `callInTime`; answers `undefined` where Azure answers 404. */
export async function readInTime<Result>(
  action: string,
  bounds: CallBounds,
  call: (signal: AbortSignal) => Promise<Result>,
): Promise<Result | undefined> {
  return readAzure(action, () => tryInTime(action, bounds, call));
}

async function tryInTime<Result>(
  action: string,
  { tryMs, triesMax }: CallBounds,
  call: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    const late = AbortSignal.timeout(tryMs);
    try {
      return await call(late);
    } catch (error) {
      if (!late.aborted) throw error;
      if (attempt < triesMax) continue;
      throw new HoldfastError(
        NO_ANSWER,
        `Azure gave no answer when trying to ${action}, ${triesMax} times within ${tryMs / 1000} s. ` +
          "Look at the private network between the control plane and this account (doctor).",
        { retry: "backoff", cause: error },
      );
    }
  }
}
