import { randomBytes, timingSafeEqual } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import {
  stackFileName,
  verbs,
  type StackFile,
  type VerbHandlers,
  type VerbName,
} from "./control-protocol.ts";

const tokenSizeBytes = 32;
const bodySizeMaxBytes = 1024 * 1024;

export interface ControlServerOptions {
  readonly stateDirectory: string;
  readonly port: number;
  readonly handlers: VerbHandlers;
}

/** Serves the verbs on 127.0.0.1 until closed; `stack.json` says where and with which token. */
export async function startControlServer(
  options: ControlServerOptions,
): Promise<{ close(): Promise<void> }> {
  const token = randomBytes(tokenSizeBytes).toString("base64url");

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body } = await answer(request, { token, handlers: options.handlers });
    response.writeHead(status, { "content-type": "application/json", connection: "close" });
    response.end(JSON.stringify(body));
  }

  const server = createServer((request, response) => {
    void serve(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, "127.0.0.1", resolve);
  });
  const file: StackFile = {
    processId: process.pid,
    controlUrl: `http://127.0.0.1:${options.port}/`,
    controlToken: token,
  };
  const path = join(options.stateDirectory, stackFileName);
  await rm(path, { force: true }); // a mode counts only for a new file
  await writeFile(path, JSON.stringify(file), { mode: 0o600 });
  return {
    async close() {
      await rm(path, { force: true });
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function answer(
  request: IncomingMessage,
  { token, handlers }: { token: string; handlers: VerbHandlers },
): Promise<Answer> {
  if (!isAuthorized(request, token)) return { status: 401, body: { error: "wrong token" } };
  const name = (request.url ?? "").slice(1);
  if (request.method !== "POST" || !isVerb(name)) {
    return { status: 404, body: { error: `no verb "${name}"` } };
  }
  try {
    return { status: 200, body: await perform(name, { handlers, text: await readBody(request) }) };
  } catch (error) {
    return { status: 400, body: { error: error instanceof Error ? error.message : String(error) } };
  }
}

async function perform(
  name: VerbName,
  { handlers, text }: { handlers: VerbHandlers; text: string },
): Promise<unknown> {
  const input = verbs[name].input.parse(JSON.parse(text));
  // The table ties each handler's input to its verb; the compiler cannot follow that for a variable.
  const handler = handlers[name] as (input: unknown) => Promise<unknown>;
  return handler(input);
}

function isVerb(name: string): name is VerbName {
  return Object.hasOwn(verbs, name);
}

function isAuthorized(request: IncomingMessage, token: string): boolean {
  const given = Buffer.from(request.headers.authorization ?? "");
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of request) {
    const bytes = Buffer.from(piece);
    sizeBytes += bytes.byteLength;
    if (sizeBytes > bodySizeMaxBytes) throw new Error("the request is too large");
    pieces.push(bytes);
  }
  return Buffer.concat(pieces).toString("utf8");
}
