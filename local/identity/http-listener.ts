import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { JsonValue } from "../resource-manager/json.ts";

export interface JsonAnswer {
  readonly status: number;
  readonly body: JsonValue;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Listener extends AsyncDisposable {
  /** `http://127.0.0.1:1234`, no trailing slash. */
  readonly origin: string;
  readonly port: number;
}

export interface ListenOptions {
  /** Default: loopback. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly tls?: { readonly certificate: string; readonly key: string };
}

/** Serves a function from request to JSON answer. */
export async function listenJson(
  options: ListenOptions,
  answer: (request: IncomingMessage, url: URL) => Promise<JsonAnswer> | JsonAnswer,
): Promise<Listener> {
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? "/", "http://listener");
    request.resume();
    let result: JsonAnswer;
    try {
      result = await answer(request, url);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      result = { status: 500, body: { error: "server_error", error_description: message } };
    }
    const type = { "content-type": "application/json; charset=utf-8" };
    response.writeHead(result.status, { ...type, ...result.headers });
    response.end(JSON.stringify(result.body));
  };
  const listener: RequestListener = (request, response) => {
    respond(request, response).catch(() => response.destroy());
  };
  return listen(options, listener);
}

/** Opens a server and waits until it listens; closing it ends its connections too. */
export async function listen(options: ListenOptions, listener: RequestListener): Promise<Listener> {
  const { tls, host = "127.0.0.1", port = 0 } = options;
  const server: Server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer({ cert: tls.certificate, key: tls.key }, listener);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const address = server.address();
  const actualPort = typeof address === "object" && address !== null ? address.port : port;
  const scheme = tls === undefined ? "http" : "https";
  return {
    origin: `${scheme}://${host.includes(":") ? `[${host}]` : host}:${actualPort}`,
    port: actualPort,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
