import { rootCertificates } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request, type Dispatcher } from "undici";
import { codeOf, HoldfastError, isRetryable } from "#core/lib/errors.ts";
import { AdaptiveLimit } from "./adaptive-limit.ts";
import { isThrottle, translateRefusal } from "./disk-data-errors.ts";
import { DISK_RESOURCE, requireDiskHost } from "./disk-hosts.ts";

/** First version with `x-ms-previous-snapshot-url` and with markers of page lists. */
const storageVersion = "2020-10-02";
const maxErrorBodyBytes = 16 * 1024;
const maxRetryAfterMs = 60_000;

/** Token for `Authorization`; throws `DiskTokenMissing`. */
export type ReadDiskToken = (signal: AbortSignal) => Promise<string>;

export interface EndpointOptions {
  /** PEM of a further certificate authority; the usual ones are always trusted. */
  readonly ca?: string;
  /** Requests in flight on one SAS at most. */
  readonly maxConcurrency?: number;
  /** Deadline of one request; a request that takes longer is tried again. */
  readonly requestTimeoutMs?: number;
  readonly maxAttempts?: number;
  /** First wait between attempts; doubles up to `maxBackoffMs`, with jitter. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
}

const defaults = {
  maxConcurrency: 32,
  initialConcurrency: 4,
  requestTimeoutMs: 60_000,
  maxAttempts: 8,
  backoffMs: 250,
  maxBackoffMs: 30_000,
};

type ResponseBody = Dispatcher.ResponseData["body"];

export interface EndpointRequest<Result> {
  /** For messages: `read`, `list changes` ... */
  readonly operation: string;
  readonly method: "GET" | "HEAD" | "PUT";
  /** Appended to the SAS's query, e.g. `comp=pagelist`. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly expectedStatus: number;
  /** Must read or dump the body; a retryable error thrown here leads to another attempt. */
  readonly consume: (response: Dispatcher.ResponseData) => Promise<Result>;
  /** Throw `RequestTimedOut` at the first timeout, so that the caller can ask for less. */
  readonly failOnTimeout?: boolean;
}

/** One SAS: its connections, how much it bears, the token beside it if any, and the retries. */
export class SasEndpoint {
  readonly host: string;
  readonly #url: URL;
  readonly #agent: Agent;
  readonly #limit: AdaptiveLimit;
  readonly #options: Required<Omit<EndpointOptions, "ca">>;
  readonly #readToken: ReadDiskToken | undefined;

  /** @param readToken where the SAS alone is not enough. Throws `SasMalformed`, `DiskHostUnknown`. */
  constructor(sas: string, options: EndpointOptions, readToken?: ReadDiskToken) {
    this.#url = parseSas(sas);
    this.host = this.#url.host;
    if (readToken !== undefined) requireDiskHost(this.#url.hostname);
    this.#readToken = readToken;
    this.#options = { ...defaults, ...options };
    const { maxConcurrency } = this.#options;
    this.#limit = new AdaptiveLimit({
      initial: defaults.initialConcurrency,
      max: maxConcurrency,
    });
    this.#agent = new Agent({
      connections: maxConcurrency,
      // Deadlines of our own cover these; undici's would differ from what the caller asked for.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] },
    });
  }

  /** Requests that may run at once now. */
  get concurrencyLimit(): number {
    return this.#limit.limit;
  }

  /** Most requests that can ever run at once. */
  get maxConcurrency(): number {
    return this.#options.maxConcurrency;
  }

  /** Sends until it succeeds, the error is final, or attempts run out. */
  async send<Result>(work: EndpointRequest<Result>, signal: AbortSignal): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(work, signal);
      } catch (error) {
        if (signal.aborted) throw cancelled(work.operation, this.host, signal);
        const isFinal = !isRetryable(error) || attempt >= this.#options.maxAttempts;
        if (isFinal || (work.failOnTimeout === true && isTimeout(error))) throw error;
        await this.#backOff(attempt, error, signal);
      }
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #attempt<Result>(work: EndpointRequest<Result>, signal: AbortSignal): Promise<Result> {
    const slot = await this.#limit.acquire(signal);
    const deadline = AbortSignal.timeout(this.#options.requestTimeoutMs);
    try {
      const result = await this.#exchange(work, AbortSignal.any([signal, deadline]));
      slot.release("ok");
      return result;
    } catch (error) {
      const translated = this.#translate(error, work, deadline);
      const isCongested = isTimeout(translated) || translated.code === "DiskBusy";
      slot.release(isCongested ? "congested" : "failed");
      throw translated;
    }
  }

  async #exchange<Result>(work: EndpointRequest<Result>, signal: AbortSignal): Promise<Result> {
    const { origin, pathname, search } = this.#url;
    // The SAS's query goes out as it came: encoding it anew could break the signature.
    const query = work.query === undefined ? search : `${search}&${work.query}`;
    const token = await this.#readToken?.(signal);
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await request(`${origin}${pathname}${query}`, {
      dispatcher: this.#agent,
      method: work.method,
      headers: { "x-ms-version": storageVersion, ...authorization, ...work.headers },
      body: work.body ?? null,
      signal,
    });
    if (response.statusCode !== work.expectedStatus) {
      throw await this.#refusalOf(work.operation, response);
    }
    return work.consume(response);
  }

  async #refusalOf(
    operation: string,
    { statusCode, headers, body }: Dispatcher.ResponseData,
  ): Promise<HoldfastError> {
    const azureMessage = await readText(body);
    const failed = {
      operation,
      host: this.host,
      statusCode,
      azureCode: headerText(headers, "x-ms-error-code") ?? "Unknown",
      azureMessage,
      requestId: headerText(headers, "x-ms-request-id") ?? "",
      hadToken: this.#readToken !== undefined,
      asksForToken: (headerText(headers, "www-authenticate") ?? "").includes(DISK_RESOURCE),
    };
    const error = translateRefusal(failed);
    const retryAfterSeconds = Number(headerText(headers, "retry-after") ?? Number.NaN);
    if (!isThrottle(failed) || Number.isNaN(retryAfterSeconds)) return error;
    return new HoldfastError(error.code, error.message, {
      retry: error.retry,
      context: { ...error.context, retryAfterSeconds },
    });
  }

  #translate<Result>(
    error: unknown,
    { operation }: EndpointRequest<Result>,
    deadline: AbortSignal,
  ): HoldfastError {
    const isCutOff = !(error instanceof HoldfastError) || error.code === "ShortRead";
    if (!isCutOff) return error;
    const context = { operation, host: this.host };
    if (deadline.aborted) {
      const text = `The ${operation} of the disk at ${this.host} took longer than ${this.#options.requestTimeoutMs} ms.`;
      return new HoldfastError("RequestTimedOut", text, { retry: "backoff", context });
    }
    if (error instanceof HoldfastError) return error;
    return new HoldfastError(
      "DiskUnreachable",
      `The disk at ${this.host} could not be reached for the ${operation}: check name resolution, endpoint and trust.`,
      { retry: "backoff", context, cause: error },
    );
  }

  async #backOff(attempt: number, error: unknown, signal: AbortSignal): Promise<void> {
    const { backoffMs, maxBackoffMs } = this.#options;
    const ceilingMs = Math.min(maxBackoffMs, backoffMs * 2 ** (attempt - 1));
    const asked = error instanceof HoldfastError ? error.context["retryAfterSeconds"] : undefined;
    const askedMs = typeof asked === "number" ? Math.min(asked * 1000, maxRetryAfterMs) : 0;
    // Jitter keeps many workers from coming back at the same moment.
    const waitMs = Math.max(askedMs, ceilingMs * (0.5 + Math.random() / 2));
    try {
      await sleep(waitMs, undefined, { signal });
    } catch {
      throw cancelled("wait", this.host, signal);
    }
  }
}

export function headerText(
  headers: Dispatcher.ResponseData["headers"],
  name: string,
): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function isTimeout(error: unknown): boolean {
  return codeOf(error) === "RequestTimedOut";
}

function parseSas(sas: string): URL {
  const url = URL.canParse(sas) ? new URL(sas) : undefined;
  if (url === undefined || url.protocol !== "https:" || !url.searchParams.has("sig")) {
    throw new HoldfastError(
      "SasMalformed",
      "The SAS of the disk is not an https URL with a signature.",
    );
  }
  return url;
}

function cancelled(operation: string, host: string, signal: AbortSignal): HoldfastError {
  return new HoldfastError("Cancelled", `The ${operation} of the disk at ${host} was cancelled.`, {
    context: { host },
    cause: signal.reason,
  });
}

async function readText(body: ResponseBody): Promise<string> {
  let text = "";
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString("latin1");
    if (text.length > maxErrorBodyBytes) break;
  }
  return text;
}
