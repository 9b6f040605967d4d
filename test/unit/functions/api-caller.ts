/** Calls endpoints of the API over a test world, without a host. */
import { HttpRequest } from "@azure/functions";
import type { HttpResponseInit } from "@azure/functions";
import { serveEndpoint } from "#functions/http/endpoint.ts";
import { ENDPOINTS } from "#functions/triggers/all-endpoints.ts";
import type { World } from "./test-world.ts";

/** What came back, looked into without a type of its own: the assertions say what it must be. */
type Json = ReturnType<typeof JSON.parse>;

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Json;
}

export interface Started {
  readonly name: string;
  readonly instanceId: string;
  readonly input: Json;
}

export interface CallOptions {
  readonly params?: Record<string, string>;
  readonly query?: Record<string, string>;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** @param started gets the orchestrations that the call starts */
export async function callEndpoint(
  world: World,
  started: Started[],
  name: string,
  options: CallOptions = {},
): Promise<Answer> {
  const endpoint = ENDPOINTS.find((each) => each.name === name)!;
  const request = new HttpRequest({
    method: endpoint.method,
    url: "https://app.example/api",
    headers: { "content-type": "application/json", ...options.headers },
    query: options.query ?? {},
    params: options.params ?? {},
    ...(options.body === undefined
      ? {}
      : {
          body: {
            string: typeof options.body === "string" ? options.body : JSON.stringify(options.body),
          },
        }),
  });
  const response: HttpResponseInit = await serveEndpoint(endpoint, request, {
    context: world.context,
    authenticate: async () => ({ ok: true, subject: "me" }),
    client: {
      ...world.client,
      startOnce: async (orchestrator, instanceId, input) => {
        started.push({ name: orchestrator, instanceId, input });
        return true;
      },
    },
  });
  return {
    status: response.status ?? 0,
    headers: (response.headers ?? {}) as Record<string, string>,
    body: response.jsonBody,
  };
}

export const POLICY_BODY = {
  name: "daily",
  schedule: { cron: "0 1 * * *", timeZone: "Europe/Berlin" },
  selection: { include: { tags: [{ name: "backup", value: "daily" }] } },
  repositoryId: "r-1",
};
export const REPOSITORY_BODY = {
  name: "second",
  blobServiceUrl: "https://other.blob.example/",
  container: "backups",
  encryption: { kind: "none" },
};
