/** Of a request that was sent several times, over new connections, without any answer. */
export const NO_ANSWER = "NoAnswer";

/** Codes of errors behind which a broken private network may be, as they come from jobs and steps. */
const NETWORK_CODES: ReadonlySet<string> = new Set([
  // Of a worker that cannot be reached or cannot report.
  "WorkerLost",
  "NotEnrolled",
  "InstallFailed",
  "TimedOut",
  // Of disks and services that cannot be reached.
  "DiskUnreachable",
  "NetworkRefused",
  "RequestTimedOut",
  NO_ANSWER,
  "SasRefused",
  "AuthorizationFailure",
  "AzureCallFailed",
  // What the SDKs give as code when there was no answer at all.
  "REQUEST_SEND_ERROR",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "EPIPE",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

/** Whether the doctor has something to say to an error. */
export function mayBeNetwork(code: string): boolean {
  return NETWORK_CODES.has(code);
}
