/**
 * The token that disks with `dataAccessAuthMode: AzureActiveDirectory` ask for beside the SAS
 * (learn.microsoft.com/azure/virtual-machines/disks-secure-upload-download). One for all disks, kept in memory
 * and asked for again some time before it ends; never logged, never part of an error.
 */
import type { AccessToken, TokenCredential } from "@azure/core-auth";
import { HoldfastError } from "#core/lib/errors.ts";
import { DISK_SCOPE } from "./disk-hosts.ts";
import type { ReadDiskToken } from "./sas-endpoint.ts";

/** Longer than any request and than clocks differ; the metadata service keeps tokens for hours. */
const RENEW_BEFORE_MS = 5 * 60_000;

/** @param now in milliseconds since 1970 */
export function createDiskTokens(
  credential: TokenCredential,
  now: () => number = Date.now,
): ReadDiskToken {
  let kept: AccessToken | undefined;
  let asking: Promise<AccessToken> | undefined;

  /** All requests that wait share one question, which none of them may end for the others. */
  function ask(): Promise<AccessToken> {
    asking ??= getToken(credential)
      .then((token) => (kept = token))
      .finally(() => {
        asking = undefined;
      });
    return asking;
  }

  return async (signal) => {
    signal.throwIfAborted();
    if (kept !== undefined && kept.expiresOnTimestamp - now() > RENEW_BEFORE_MS) return kept.token;
    return (await orAbort(ask(), signal)).token;
  };
}

async function getToken(credential: TokenCredential): Promise<AccessToken> {
  let token: AccessToken | null;
  try {
    token = await credential.getToken(DISK_SCOPE);
  } catch (error) {
    throw tokenMissing(error);
  }
  if (token === null) throw tokenMissing(undefined);
  return token;
}

function tokenMissing(cause: unknown): HoldfastError {
  return new HoldfastError(
    "DiskTokenMissing",
    "The worker's identity got no token for managed disks: check that the identity is given to the machine and that its metadata service (169.254.169.254) answers.",
    { retry: "backoff", cause },
  );
}

function orAbort<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
