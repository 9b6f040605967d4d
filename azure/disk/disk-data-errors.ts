import { HoldfastError } from "#core/lib/errors.ts";

/** What is known of a failed request. Never the SAS: its query string is a secret. */
export interface FailedRequest {
  readonly operation: string;
  readonly host: string;
  readonly statusCode: number;
  /** `x-ms-error-code`, or the code of the body. */
  readonly azureCode: string;
  /** Azure's text; used to tell an expired SAS from a wrong one, and not shown. */
  readonly azureMessage: string;
  readonly requestId: string;
  /** A token of the worker's identity went with the SAS. */
  readonly hadToken: boolean;
  /** The answer's challenge names the audience of managed disks. */
  readonly asksForToken: boolean;
}

const diffRefusals: ReadonlySet<string> = new Set([
  "PreviousSnapshotOperationNotSupported",
  "PreviousSnapshotCannotBeNewer",
  "PreviousSnapshotNotFound",
  "BlobOverwritten",
  "BlobGenerationMismatch",
]);

/** Answers that say "slower": they lower the concurrency and may name a time to wait. */
export function isThrottle({ statusCode, azureCode }: FailedRequest): boolean {
  return statusCode === 429 || statusCode === 503 || azureCode === "ServerBusy";
}

/** Blob service status and error codes -> our codes, once. */
export function translateRefusal(failed: FailedRequest): HoldfastError {
  const { operation, host, statusCode, azureCode } = failed;
  const where = `${operation} of the disk at ${host}`;
  const context = {
    operation,
    host,
    statusCode,
    azureCode,
    requestId: failed.requestId,
  };
  if (diffRefusals.has(azureCode)) {
    const text = `Azure has no diff between these snapshots (${azureCode}); read the disk in full.`;
    return new HoldfastError("DiffUnavailable", text, { context });
  }
  // Azure's own deadline (500); for a list of ranges it means: ask for a smaller window.
  if (azureCode === "OperationTimedOut") {
    const text = `Azure took too long for the ${where}; try again later or with fewer disks.`;
    return new HoldfastError("RequestTimedOut", text, { retry: "backoff", context });
  }
  if (isThrottle(failed)) {
    const text = `Azure throttles the ${where} (${azureCode}); try again later or with fewer disks.`;
    return new HoldfastError("DiskBusy", text, { retry: "backoff", context });
  }
  if (statusCode >= 500) {
    const text = `Azure failed the ${where} (${statusCode} ${azureCode}); try again later.`;
    return new HoldfastError("DiskUnavailable", text, { retry: "backoff", context });
  }
  if (statusCode === 403 && azureCode === "AuthorizationFailure") {
    const text = `The network may not reach the ${where}: check the private endpoint of its disk access.`;
    return new HoldfastError("NetworkRefused", text, { context });
  }
  if (statusCode === 403 && /time frame|expired/i.test(failed.azureMessage)) {
    const text = `The SAS for the ${where} has expired; grant access again.`;
    return new HoldfastError("SasExpired", text, { context });
  }
  const refusedToken = translateTokenRefusal(failed, where);
  if (refusedToken !== undefined) return new HoldfastError(...refusedToken, { context });
  if (statusCode === 401 || statusCode === 403) {
    const text = `The SAS was refused for the ${where} (${azureCode}); it may be revoked or lack the right.`;
    return new HoldfastError("SasRefused", text, { context });
  }
  if (statusCode === 404) {
    return new HoldfastError("DiskNotFound", `There is no disk to ${where}.`, { context });
  }
  const text = `Azure refused the ${where} (${statusCode} ${azureCode}).`;
  return new HoldfastError("DiskRequestRefused", text, { context });
}

/** Codes: learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes. */
function translateTokenRefusal(
  { statusCode, azureCode, hadToken, asksForToken }: FailedRequest,
  where: string,
): readonly [code: string, message: string] | undefined {
  if (statusCode !== 401 && statusCode !== 403) return undefined;
  if (hadToken && azureCode === "AuthorizationPermissionMismatch")
    return [
      "DiskPermissionMissing",
      `The worker's identity may not do the ${where}: its data access mode is Microsoft Entra ID. Assign the role holdfast-worker-disks to the workers' identity where the disk lies; a new assignment takes some minutes.`,
    ];
  // AzCopy has seen the challenge with both status codes.
  if (asksForToken && !hadToken)
    return [
      "DiskTokenRefused",
      `The ${where} takes a token beside the SAS, which it did not when it was planned: somebody changed its data access mode meanwhile. Run it again.`,
    ];
  if (hadToken && (statusCode === 401 || asksForToken))
    return [
      "DiskTokenRefused",
      `The token of the worker's identity was refused for the ${where} (${azureCode}): check that disk and workers belong to one tenant.`,
    ];
  return undefined;
}

export function shortRead(host: string, expectedBytes: number, foundBytes: number): HoldfastError {
  return new HoldfastError(
    "ShortRead",
    `The disk at ${host} sent ${foundBytes} of ${expectedBytes} bytes; the connection was cut.`,
    { retry: "backoff", context: { host, expectedBytes, foundBytes } },
  );
}
