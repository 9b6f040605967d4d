import { z } from "zod";

/**
 * Requests to the simulated Resource Manager by an operator of the stack (a deployment, the command
 * line), with the general rules of long-running operations. The product uses the `@azure/arm-*`
 * clients; this is for what people do with the Azure CLI.
 */
export interface ArmClientOptions {
  /** `https://127.0.0.1:port` */
  readonly endpoint: string;
  readonly readToken: () => Promise<string>;
}

export interface ArmRequest {
  readonly method: "GET" | "PUT" | "PATCH" | "POST" | "DELETE";
  readonly path: string;
  readonly apiVersion: string;
  readonly body?: unknown;
}

/** What Resource Manager refused: `code` and HTTP status are Azure's. */
export class ArmRequestError extends Error {
  override readonly name = "ArmRequestError";
  readonly code: string;
  readonly statusCode: number;

  constructor(statusCode: number, code: string, message: string) {
    super(message);
    this.statusCode = statusCode;
    this.code = code;
  }
}

const errorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });
const operationSchema = z.object({
  status: z.string(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
const pageSchema = z.object({
  value: z.array(z.unknown()),
  nextLink: z.string().nullish(),
});

/** Most operations of the simulated Azure end at the second look: a stack starts with a dozen. */
const pollDelayMs = 50;
const operationTimeoutMs = 15 * 60 * 1000;
const pageCountMax = 1000;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export class ArmClient {
  readonly #options: ArmClientOptions;

  constructor(options: ArmClientOptions) {
    this.#options = options;
  }

  /** Sends a request and waits for the end of the operation that it begins. Throws ArmRequestError. */
  async request(request: ArmRequest): Promise<unknown> {
    const url = new URL(request.path, this.#options.endpoint);
    url.searchParams.set("api-version", request.apiVersion);
    const answer = await this.#send(request.method, url.href, request.body);
    const statusUrl = answer.headers.get("azure-asyncoperation");
    const locationUrl = answer.headers.get("location");
    if (statusUrl !== null) await this.#waitForStatus(statusUrl);
    else if (answer.status === 202 && locationUrl !== null) {
      return this.#waitForLocation(locationUrl);
    }
    if (statusUrl !== null && locationUrl !== null && request.method === "POST") {
      return (await this.#send("GET", locationUrl)).body;
    }
    return answer.body;
  }

  /** All pages of a list. */
  async list(path: string, apiVersion: string): Promise<unknown[]> {
    const first = new URL(path, this.#options.endpoint);
    first.searchParams.set("api-version", apiVersion);
    const found: unknown[] = [];
    let next: string | null | undefined = first.href;
    for (let page = 0; typeof next === "string" && page < pageCountMax; page++) {
      const { value, nextLink } = pageSchema.parse((await this.#send("GET", next)).body);
      found.push(...value);
      next = nextLink;
    }
    return found;
  }

  async #waitForStatus(statusUrl: string): Promise<void> {
    const deadline = Date.now() + operationTimeoutMs;
    while (Date.now() < deadline) {
      const { status, error } = operationSchema.parse((await this.#send("GET", statusUrl)).body);
      if (status === "Succeeded") return;
      if (status === "Failed" || status === "Canceled") {
        throw new ArmRequestError(409, error?.code ?? status, error?.message ?? `It ${status}.`);
      }
      await delay();
    }
    throw new ArmRequestError(504, "Timeout", `The operation ${statusUrl} does not end.`);
  }

  async #waitForLocation(locationUrl: string): Promise<unknown> {
    const deadline = Date.now() + operationTimeoutMs;
    while (Date.now() < deadline) {
      const answer = await this.#send("GET", locationUrl);
      if (answer.status !== 202) return answer.body;
      await delay();
    }
    throw new ArmRequestError(504, "Timeout", `The operation ${locationUrl} does not end.`);
  }

  async #send(method: string, url: string, body?: unknown): Promise<Answer> {
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${await this.#options.readToken()}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const parsed: unknown = text === "" ? undefined : JSON.parse(text);
    if (response.status >= 400) {
      const known = errorSchema.safeParse(parsed);
      const code = known.success ? known.data.error.code : `Http${response.status}`;
      const message = known.success ? known.data.error.message : text;
      throw new ArmRequestError(response.status, code, `${method} ${url}: ${code}: ${message}`);
    }
    return { status: response.status, headers: response.headers, body: parsed };
  }
}

async function delay(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, pollDelayMs));
}
