import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { ensureServerTls } from "#local/tls/authority.ts";

export interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: { readonly properties?: unknown } | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export const subscriptionId = "11111111-1111-1111-1111-111111111111";
export const group = `/subscriptions/${subscriptionId}/resourceGroups/g`;

/**
 * Answers what a test has put down for `METHOD path`: the next answer each time, the last one for
 * ever; 404 for all else. Shows what the real SDK clients send, without rules of its own.
 */
export class ScriptedResourceManager implements AsyncDisposable {
  readonly requests: SentRequest[] = [];
  url = "";
  readonly #answers = new Map<string, Answer[]>();
  #close: () => Promise<void> = async () => undefined;

  static async start(): Promise<ScriptedResourceManager> {
    const made = new ScriptedResourceManager();
    const directory = await mkdtemp(join(tmpdir(), "holdfast-scripted-"));
    const tls = await ensureServerTls({ directory });
    setDefaultCACertificates([...getCACertificates("default"), tls.ca]);
    const server = createServer({ key: tls.key, cert: tls.certificate }, (request, response) => {
      void made.#serve(request, response);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    made.url = `https://127.0.0.1:${address.port}`;
    made.#close = async () => {
      server.closeAllConnections();
      server.close();
      await rm(directory, { recursive: true });
    };
    return made;
  }

  get options() {
    const token = { token: "token-of-test", expiresOnTimestamp: Date.now() + 3_600_000 };
    return {
      credential: { getToken: async () => token },
      resourceManagerUrl: this.url,
    };
  }

  answer(call: string, ...answers: Answer[]): void {
    this.#answers.set(call.toLowerCase(), answers);
  }

  /** Requests of one kind, e.g. `PUT /subscriptions/...`. */
  sent(method: string, path?: string): SentRequest[] {
    return this.requests.filter(
      (request) => request.method === method && (path === undefined || request.path === path),
    );
  }

  reset(): void {
    this.requests.length = 0;
    this.#answers.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const url = new URL(request.url ?? "", this.url);
    const method = request.method ?? "";
    const body: SentRequest["body"] = text === "" ? undefined : JSON.parse(text);
    this.requests.push({ method, path: url.pathname, query: url.searchParams, body });
    const queue = this.#answers.get(`${method} ${url.pathname}`.toLowerCase());
    const next = queue !== undefined && queue.length > 1 ? queue.shift() : queue?.[0];
    const {
      status,
      body: answer,
      headers,
    } = next ?? {
      status: 404,
      body: { error: { code: "ResourceNotFound", message: "The Resource was not found." } },
      headers: {},
    };
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(answer === undefined ? "" : JSON.stringify(answer));
  }
}
