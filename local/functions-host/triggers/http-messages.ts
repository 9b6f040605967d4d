/** Between Node's http server and the RPC form of requests and responses. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type {
  NullableValue,
  RpcHttpCookie,
  RpcHttpRequest,
  RpcTypedData,
} from "../worker/rpc-types.ts";

/** Largest request body; the real host's default `FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`. */
const bodyLimitBytes = 104_857_600;

/** undefined when the body is larger than the host takes. */
export async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk as Uint8Array);
    sizeBytes += bytes.length;
    if (sizeBytes > bodyLimitBytes) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

export function toRpcRequest(
  request: IncomingMessage,
  url: URL,
  params: Readonly<Record<string, string>>,
  body: Buffer,
): RpcHttpRequest {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    headers[name] = Array.isArray(value) ? value.join(", ") : (value ?? "");
  }
  const query = Object.fromEntries(url.searchParams);
  return {
    method: request.method ?? "GET",
    url: url.href,
    // The worker asks for the nullable maps and reads those.
    headers: {},
    nullableHeaders: nullable(headers),
    query: {},
    nullableQuery: nullable(query),
    params: {},
    nullableParams: nullable(params),
    ...(body.length > 0 ? { body: { bytes: body } } : {}),
  };
}

function nullable(values: Readonly<Record<string, string>>): Record<string, NullableValue> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value }]));
}

/** Sends what the function returned; nothing returned is 204, as on the real host. */
export function sendRpcResponse(
  response: ServerResponse,
  returnValue: RpcTypedData | undefined,
): void {
  const http = returnValue?.http ?? undefined;
  if (http === undefined || "method" in http) {
    response.writeHead(204).end();
    return;
  }
  for (const [name, value] of Object.entries(http.headers ?? {})) response.setHeader(name, value);
  const cookies = (http.cookies ?? []).map(cookieText);
  if (cookies.length > 0) response.setHeader("set-cookie", cookies);
  response.writeHead(Number(http.statusCode ?? 200));
  const body = http.body ?? undefined;
  response.end(body?.bytes === undefined ? body?.string : Buffer.from(body.bytes));
}

function cookieText(cookie: RpcHttpCookie): string {
  const parts = [`${cookie.name}=${encodeURIComponent(cookie.value)}`];
  if (typeof cookie.domain?.value === "string") parts.push(`Domain=${cookie.domain.value}`);
  if (typeof cookie.path?.value === "string") parts.push(`Path=${cookie.path.value}`);
  if (typeof cookie.maxAge?.value === "number") parts.push(`Max-Age=${cookie.maxAge.value}`);
  const expires = cookie.expires?.value;
  if (expires instanceof Date) parts.push(`Expires=${expires.toUTCString()}`);
  if (cookie.secure?.value === true) parts.push("Secure");
  if (cookie.httpOnly?.value === true) parts.push("HttpOnly");
  const sameSite = new Map<unknown, string>([
    ["lax", "Lax"],
    ["strict", "Strict"],
    ["explicitNone", "None"],
  ]).get(cookie.sameSite);
  if (sameSite !== undefined) parts.push(`SameSite=${sameSite}`);
  return parts.join("; ");
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers });
  response.end(JSON.stringify(body));
}
