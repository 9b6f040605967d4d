import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import type { Log } from "./log.ts";
import { readBody } from "./triggers/http-messages.ts";

export type HttpHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  call: { readonly url: URL; readonly body: Buffer },
) => Promise<void>;

const loopback = "127.0.0.1";

/** A server on the loopback address. Answers 503 until it has a handler. */
export class HttpListener implements AsyncDisposable {
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  readonly #log: Log;
  #handler: HttpHandler | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param port 0 = any free one */
  async listen(port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.#server.once("error", reject);
    this.#server.listen(port, loopback, () => resolve(undefined));
    await promise;
  }

  get port(): number {
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) return address.port;
    throw new HoldfastError("NotListening", "The listener is not open.");
  }

  get origin(): string {
    return `http://${loopback}:${this.port}`;
  }

  serve(handler: HttpHandler): void {
    this.#handler = handler;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = Promise.withResolvers<undefined>();
    this.#server.close(() => closed.resolve(undefined));
    this.#server.closeAllConnections();
    await closed.promise;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const body = await readBody(request);
      const url = new URL(request.url ?? "/", `http://${request.headers.host ?? this.origin}`);
      if (this.#handler === undefined) response.writeHead(503, { "retry-after": "1" }).end();
      else if (body === undefined) response.writeHead(413).end();
      else await this.#handler(request, response, { url, body });
    } catch (error) {
      this.#log("error", "Host.Http", messageOf(error));
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    }
  }
}
