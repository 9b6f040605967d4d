/**
 * Plain requests to Resource Manager, for types that none of the installed SDKs has (private DNS).
 * Their errors look like those of the SDKs, so that `callAzure` and `readAzure` treat them the same.
 */
import { setTimeout } from "node:timers/promises";
import type { z } from "zod";
import { messageOf } from "#core/lib/errors.ts";
import { RESOURCE_MANAGER_SCOPE, type ResourceManagerOptions } from "./resource-manager.ts";

/** Tries of one request, as those of the SDK clients; longer waits are the orchestrator's. */
const TRIES_MAX = 4;
const WAIT_SECONDS_MAX = 20;
/** Resource Manager answers or accepts within seconds; work goes on after its answer. */
const ANSWER_MS_MAX = 60_000;
/** Pages of one list; Azure's have up to 100 items. */
const PAGES_MAX = 100;

export interface ResourceRequests {
  get<Schema extends z.ZodType>(
    id: string,
    apiVersion: string,
    schema: Schema,
  ): Promise<z.infer<Schema>>;
  list<Schema extends z.ZodType>(
    id: string,
    apiVersion: string,
    schema: Schema,
  ): Promise<z.infer<Schema>[]>;
  put(id: string, apiVersion: string, body: object): Promise<void>;
}

/** As the SDKs' errors: `statusCode`, and Azure's `code`. */
class RequestError extends Error {
  override readonly name = "RestError";
  /** None when there was no answer at all. */
  readonly statusCode: number | undefined;
  readonly code: string | undefined;

  constructor(status: number | undefined, code: string | undefined, message: string) {
    super(message);
    this.statusCode = status;
    this.code = code;
  }
}

export function createResourceRequests(options: ResourceManagerOptions): ResourceRequests {
  const origin = options.resourceManagerUrl.replace(/\/+$/, "");
  const scope = options.tokenScope ?? RESOURCE_MANAGER_SCOPE;

  async function send(method: string, url: string, body?: object): Promise<unknown> {
    for (let tries = 1; ; tries++) {
      const response = await sendOnce(method, url, body);
      const json = parse(await response.text());
      if (response.ok) return json;
      const seconds = waitSecondsOf(response);
      if (seconds === undefined || tries >= TRIES_MAX) throw errorOf(response.status, json);
      await setTimeout(seconds * 1000);
    }
  }

  async function sendOnce(method: string, url: string, body?: object): Promise<Response> {
    const token = await options.credential.getToken(scope);
    const headers = {
      authorization: `Bearer ${token?.token ?? ""}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    };
    const content = body === undefined ? {} : { body: JSON.stringify(body) };
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    try {
      return await fetch(url, { method, redirect: "error", signal, headers, ...content });
    } catch (error) {
      throw new RequestError(undefined, undefined, `There was no answer: ${messageOf(error)}`);
    }
  }

  /** Next pages are at Resource Manager too; a token goes nowhere else. */
  function checked(url: string): string {
    if (new URL(url).origin === new URL(origin).origin) return url;
    throw new Error("Resource Manager named a next page that is not its own");
  }

  const urlOf = (id: string, apiVersion: string): string =>
    `${origin}${id.split("/").map(encodeURIComponent).join("/")}?api-version=${apiVersion}`;

  return {
    get: async (id, apiVersion, schema) => schema.parse(await send("GET", urlOf(id, apiVersion))),
    async list(id, apiVersion, schema) {
      const items: z.infer<typeof schema>[] = [];
      let url: string | undefined = urlOf(id, apiVersion);
      for (let page = 0; url !== undefined && page < PAGES_MAX; page++) {
        const answer: unknown = await send("GET", url);
        const value = field(answer, "value");
        if (Array.isArray(value)) for (const each of value) items.push(schema.parse(each));
        const next = field(answer, "nextLink");
        url = typeof next === "string" && next !== "" ? checked(next) : undefined;
      }
      return items;
    },
    put: async (id, apiVersion, body) => {
      await send("PUT", urlOf(id, apiVersion), body);
    },
  };
}

/** How long to wait before another try; `undefined` when none is of use here. */
function waitSecondsOf({ status, headers }: Response): number | undefined {
  if (status !== 429 && status !== 503) return undefined;
  const seconds = Number(headers.get("retry-after") ?? 1);
  return seconds >= 0 && seconds <= WAIT_SECONDS_MAX ? seconds : undefined;
}

function errorOf(status: number, json: unknown): RequestError {
  const error = field(json, "error");
  const [code, message] = [field(error, "code"), field(error, "message")];
  return new RequestError(
    status,
    typeof code === "string" ? code : undefined,
    typeof message === "string" ? message : `The answer was ${status}.`,
  );
}

function parse(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}
