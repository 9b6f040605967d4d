import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { listen, type ListenOptions, type Listener } from "../identity/http-listener.ts";
import { ArmError } from "./arm-error.ts";
import type { ArmRequest, ArmResponse } from "./arm-message.ts";
import type { JsonValue } from "./json.ts";
import type { Method } from "./provider.ts";

/** Resource Manager refuses larger requests: https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits */
const maximumBodyBytes = 4 * 1024 * 1024;
const methods: readonly string[] = ["GET", "PUT", "PATCH", "POST", "DELETE"] satisfies Method[];

export interface HttpFrontOptions extends ListenOptions {
  handle(request: ArmRequest): Promise<ArmResponse>;
  /** Awaited before an answer leaves: what it promises must be in force and, for a write, on the disk. */
  beforeAnswer(isWrite: boolean): Promise<void>;
}

/** Serves Resource Manager requests over HTTPS. */
export async function startHttpFront(options: HttpFrontOptions): Promise<Listener> {
  let origin = "";
  const listener = await listen(options, (message, response) => {
    respond(options, origin, { message, response }).catch(() => response.destroy());
  });
  origin = listener.origin;
  return listener;
}

async function respond(
  options: HttpFrontOptions,
  origin: string,
  { message, response }: { message: IncomingMessage; response: ServerResponse },
): Promise<void> {
  let answer: ArmResponse;
  try {
    const host = message.headers.host;
    const request = await readRequest(message, host === undefined ? origin : `https://${host}`);
    answer = await options.handle(request);
  } catch (error) {
    if (!(error instanceof ArmError)) throw error;
    answer = { status: error.status, body: { error: error.toJson() } };
  }
  await options.beforeAnswer(message.method !== "GET");
  const requestId = randomUUID();
  const given = message.headers["x-ms-correlation-request-id"];
  const text = answer.body === undefined ? "" : JSON.stringify(answer.body);
  response.writeHead(answer.status, {
    "cache-control": "no-cache",
    "x-ms-request-id": requestId,
    "x-ms-correlation-request-id": typeof given === "string" ? given : requestId,
    ...(text === "" ? {} : { "content-type": "application/json; charset=utf-8" }),
    "content-length": Buffer.byteLength(text),
    ...answer.headers,
  });
  response.end(text);
}

async function readRequest(message: IncomingMessage, origin: string): Promise<ArmRequest> {
  const url = new URL(message.url ?? "/", origin);
  const { method } = message;
  const text = await readBody(message);
  if (!isMethod(method))
    throw new ArmError(
      405,
      "MethodNotAllowed",
      `The HTTP method '${method ?? ""}' is not supported.`,
    );
  const query = new Map<string, string>();
  for (const [name, value] of url.searchParams) query.set(name.toLowerCase(), value);
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(message.headers)) headers[name] = value?.toString();
  return {
    method,
    path: decodePath(url.pathname),
    query,
    headers,
    body: text === "" ? undefined : parseBody(text),
    origin: url.origin,
  };
}

function isMethod(method: string | undefined): method is Method {
  return method !== undefined && methods.includes(method);
}

function decodePath(path: string): string {
  try {
    const decoded = decodeURIComponent(path);
    return decoded.length > 1 && decoded.endsWith("/") ? decoded.slice(0, -1) : decoded;
  } catch {
    throw new ArmError(400, "InvalidRequestUri", "The request URI is not valid.");
  }
}

function parseBody(text: string): JsonValue {
  try {
    const value: JsonValue = JSON.parse(text);
    return value;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ArmError(
      400,
      "InvalidRequestContent",
      `The request content was invalid and could not be deserialized: '${message}'.`,
    );
  }
}

async function readBody(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of message) {
    const bytes = Buffer.from(part);
    sizeBytes += bytes.length;
    if (sizeBytes > maximumBodyBytes)
      throw new ArmError(
        413,
        "RequestEntityTooLarge",
        `The request content size exceeds the maximum size of '${maximumBodyBytes}' bytes.`,
      );
    parts.push(bytes);
  }
  return Buffer.concat(parts).toString("utf8");
}
