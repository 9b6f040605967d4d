/**
 * Where SDK errors end: every adapter of this layer sends its calls through `callAzure`, so that the
 * rest of the product sees `HoldfastError`s only. Their code is Azure's own, their message carries no
 * query string, SAS or token.
 */
import { HoldfastError, type RetryAdvice } from "#core/lib/errors.ts";
import { leftWaitSecondsOf } from "./bounded-requests.ts";

const MESSAGE_CHARS_MAX = 600;

/** 409 answers that no waiting cures; all others (busy resource, operation under way) pass. */
const PERMANENT_CONFLICTS: ReadonlySet<string> = new Set([
  "BlobAlreadyExists",
  "ContainerAlreadyExists",
  "EntityAlreadyExists",
  "PropertyChangeNotAllowed",
  "QueueAlreadyExists",
  "SkuNotAvailable",
  "StorageAccountAlreadyTaken",
  "StorageAccountAlreadyExists",
  "TableAlreadyExists",
]);

/**
 * Codes that say "not now", whatever their status: somebody else changes what is needed, or it has
 * just been changed. `AuthorizationFailure` is the answer of a storage account's network rules, which
 * follow a change after a while, as names and open connections do.
 */
const BUSY_CODES: ReadonlySet<string> = new Set([
  "AnotherOperationInProgress",
  "AuthorizationFailure",
  "ReferencedResourceNotProvisioned",
]);

/** Codes of failed operations (they come without a status) that another attempt can cure. */
const PASSING_FAILURES: ReadonlySet<string> = new Set([
  "InternalExecutionError",
  "InternalServerError",
  "OperationPreempted",
  "RetryableError",
  "ServerTimeout",
]);

/** Runs one SDK call. Throws `HoldfastError` only; `action` says what was tried, e.g. `read disk X`. */
export async function callAzure<Result>(
  action: string,
  call: () => Promise<Result>,
): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw toHoldfastError(action, error);
  }
}

/** As `callAzure`; answers `undefined` where Azure answers 404. */
export async function readAzure<Result>(
  action: string,
  call: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await call();
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw toHoldfastError(action, error);
  }
}

/** As `callAzure`, for the SDK's paged lists. */
export async function* listAzure<Item>(
  action: string,
  list: () => AsyncIterable<Item>,
): AsyncGenerator<Item, void, undefined> {
  try {
    yield* list();
  } catch (error) {
    throw toHoldfastError(action, error);
  }
}

/** The HTTP status that an SDK error carries. */
export function statusOf(error: unknown): number | undefined {
  const status = field(error, "statusCode");
  return typeof status === "number" ? status : undefined;
}

/** Azure's error code of an SDK error. */
export function azureCodeOf(error: unknown): string | undefined {
  const details = field(error, "details");
  for (const candidate of [
    field(error, "code"),
    field(details, "errorCode"),
    field(field(details, "odataError"), "code"),
    field(details, "code"),
  ]) {
    if (typeof candidate === "string" && candidate !== "") return candidate;
  }
  // core-lro throws a bare Error for an operation that ended as failed; its text holds the code.
  const text = error instanceof Error ? error.message : "";
  return /^The long-running operation has failed\. (\w+)\. /.exec(text)?.[1];
}

export function toHoldfastError(action: string, error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const name = field(error, "name");
  if (name === "AbortError") {
    return new HoldfastError("Aborted", `Stopped while trying to ${action}.`);
  }
  const status = statusOf(error);
  const code = azureCodeOf(error) ?? fallbackCode(name, status);
  const retryAfterSeconds = leftWaitSecondsOf(error);
  const text = redact(error instanceof Error ? error.message : String(error));
  return new HoldfastError(code, `Azure refused to ${action}: ${code}. ${text}`, {
    retry: adviceFor(status, code, name),
    context: {
      ...(status !== undefined && { status }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    },
  });
}

/** Removes query strings (a SAS is one), bearer tokens and signatures; keeps one short line. */
export function redact(text: string): string {
  const firstLine = text.trim().split(/\r?\n/, 1)[0] ?? "";
  return firstLine
    .replaceAll(/(https?:\/\/[^\s?"'<>]+)\?[^\s"'<>]*/g, "$1?<removed>")
    .replaceAll(/\beyJ[\w-]+\.[\w-]+(\.[\w-]*)*/g, "<token removed>")
    .replaceAll(/\bBearer\s+\S+/gi, "Bearer <removed>")
    .replaceAll(/\bsig=[^&\s"']+/gi, "sig=<removed>")
    .slice(0, MESSAGE_CHARS_MAX);
}

function adviceFor(status: number | undefined, code: string, name: unknown): RetryAdvice {
  // The token endpoint of a machine that has just started may answer late.
  if (name === "CredentialUnavailableError") return "backoff";
  if (BUSY_CODES.has(code)) return "backoff";
  if (status === undefined) {
    // A RestError without a status had no answer at all: connection lost, name not resolved.
    return name === "RestError" || PASSING_FAILURES.has(code) ? "backoff" : "never";
  }
  if (status === 408 || status === 429 || status >= 500) return "backoff";
  if (status === 409) return PERMANENT_CONFLICTS.has(code) ? "never" : "backoff";
  return "never";
}

function fallbackCode(name: unknown, status: number | undefined): string {
  if (status !== undefined) return `Http${status}`;
  if (name === "CredentialUnavailableError" || name === "AuthenticationError") return name;
  return "AzureCallFailed";
}

function field(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Reflect.get(value, key);
}
