import type { HttpMethod, HttpRequest, HttpResponseInit } from "@azure/functions";
import type { z } from "zod";
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
import type { Authenticate } from "./authentication.ts";
import { Problem, wrongField, wrongFields } from "./problem.ts";

/** Endpoint: one call of the API. Parse, one decision, answer; whoever calls was authenticated. */
export interface Endpoint {
  /** Name of the function, e.g. `list-policies`. */
  readonly name: string;
  readonly method: HttpMethod;
  /** Below `/api`, e.g. `v1/policies/{policyId}`. */
  readonly route: string;
  readonly handle: (call: ApiCall) => Promise<ApiAnswer>;
}

export interface ApiCall {
  readonly context: AppContext;
  readonly client: OrchestrationClient;
  /** A part of the route; throws when the route has no such part. */
  param(name: string): string;
  query<Schema extends z.ZodType>(schema: Schema): z.infer<Schema>;
  body<Schema extends z.ZodType>(schema: Schema): Promise<z.infer<Schema>>;
  /** Value of `If-Match` as a record's version; `undefined` when there is none or it is `*`. */
  readonly ifVersion: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body?: object;
  readonly location?: string;
  /** Of a record; becomes the `ETag`. */
  readonly version?: string;
}

/** Bodies are small; a policy that names a thousand VMs has some 40 KiB. */
const BODY_CHARACTERS_MAX = 256 * 1024;

/** Versions of records may hold characters that an ETag must not. */
export function etagOf(version: string): string {
  return `"${Buffer.from(version, "utf8").toString("base64url")}"`;
}

function versionOf(ifMatch: string | null): string | undefined {
  if (ifMatch === null || ifMatch.trim() === "*") return undefined;
  const [, text] = /^(?:W\/)?"([A-Za-z0-9_-]*)"$/.exec(ifMatch.trim()) ?? [];
  // What is no ETag of ours matches nothing.
  return text === undefined ? "" : Buffer.from(text, "base64url").toString("utf8");
}

/** Runs an endpoint for a request; never throws. */
export async function serveEndpoint(
  endpoint: Endpoint,
  request: HttpRequest,
  services: {
    readonly context: AppContext;
    readonly client: OrchestrationClient;
    readonly authenticate: Authenticate;
  },
): Promise<HttpResponseInit> {
  const { context, client } = services;
  try {
    const caller = await services.authenticate(request.headers.get("authorization"));
    if (!caller.ok) return refuse(context, caller);
    const answer = await endpoint.handle(createCall(context, client, request));
    return {
      status: answer.status,
      headers: {
        "cache-control": "no-store",
        ...(answer.location === undefined ? {} : { location: answer.location }),
        ...(answer.version === undefined ? {} : { etag: etagOf(answer.version) }),
      },
      ...(answer.body === undefined ? {} : { jsonBody: answer.body }),
    };
  } catch (error) {
    const problem = error instanceof Problem ? error : problemOf(context, endpoint, error);
    return { status: problem.status, jsonBody: problem.body() };
  }
}

function refuse(
  context: AppContext,
  refused: { readonly kind: "refused" | "unavailable"; readonly reason: string },
): HttpResponseInit {
  context.events.requestRefused({ reason: refused.reason });
  if (refused.kind === "unavailable") {
    const problem = new Problem(503, "KeysUnavailable", "The issuer's keys cannot be read now.");
    return { status: 503, jsonBody: problem.body() };
  }
  const problem = new Problem(401, "Unauthorized", `The request was refused: ${refused.reason}.`);
  const challenge = `Bearer error="invalid_token", error_description="${refused.reason.replaceAll('"', "'")}"`;
  return { status: 401, headers: { "www-authenticate": challenge }, jsonBody: problem.body() };
}

function problemOf(context: AppContext, endpoint: Endpoint, error: unknown): Problem {
  context.events.requestFailed({ route: endpoint.name, message: messageOf(error) });
  if (error instanceof HoldfastError && error.retry === "backoff")
    return new Problem(503, error.code, error.message);
  if (error instanceof HoldfastError) return new Problem(500, error.code, error.message);
  return new Problem(500, "Unexpected", "Something went wrong; the app's log says what.");
}

function createCall(
  context: AppContext,
  client: OrchestrationClient,
  request: HttpRequest,
): ApiCall {
  return {
    context,
    client,
    ifVersion: versionOf(request.headers.get("if-match")),
    param(name) {
      const value = request.params[name];
      if (value === undefined || value === "") throw wrongField(name, "it is missing in the path");
      return value;
    },
    query(schema) {
      const parsed = schema.safeParse(Object.fromEntries(request.query));
      if (!parsed.success) throw wrongFields(parsed.error);
      return parsed.data;
    },
    async body(schema) {
      const text = await request.text();
      if (text.length > BODY_CHARACTERS_MAX)
        throw new Problem(413, "BodyTooLarge", "The body is too large.");
      const type = request.headers.get("content-type");
      if (text.trim() !== "" && type !== null && !/^application\/json\s*(;|$)/i.test(type))
        throw new Problem(415, "UnsupportedMediaType", "The body must be application/json.");
      let json: unknown;
      try {
        json = text.trim() === "" ? {} : JSON.parse(text);
      } catch {
        throw new Problem(400, "InvalidRequest", "The body is not JSON.");
      }
      const parsed = schema.safeParse(json);
      if (!parsed.success) throw wrongFields(parsed.error);
      return parsed.data;
    },
  };
}
