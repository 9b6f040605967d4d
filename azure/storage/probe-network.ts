/** Name, connection, TLS and one request, each for itself (see the port). */
import { lookup, Resolver } from "node:dns/promises";
import { request } from "node:http";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { TokenCredential } from "@azure/core-auth";
import type {
  ProbeAnswer,
  ProbeConnection,
  ProbeNetwork,
  ProbeQuestion,
} from "#core/ports/probe-network.ts";
import { DISK_SCOPE, requireDiskHost } from "../disk/disk-hosts.ts";

const SCOPES = { storage: "https://storage.azure.com/.default", disks: DISK_SCOPE } as const;
/** Azure needs one alias for private link; more are somebody's own. */
const ALIASES_MAX = 5;
const ALIAS_TIMEOUT_MS = 1_000;

export function createProbeNetwork(credential: TokenCredential): ProbeNetwork {
  return {
    async resolve(host, signal) {
      if (isIP(host) !== 0) return { aliases: [], address: host };
      const [{ address }, aliases] = await Promise.all([
        orAbort(lookup(host, { family: 4 }), signal),
        orAbort(readAliases(host), signal),
      ]);
      return { aliases, address };
    },
    async connect(address, port, signal) {
      const socket = connectTcp({ host: address, port, signal });
      await ready(socket, "connect", signal);
      return createConnection(socket);
    },
    async readToken({ audience, host }, signal) {
      if (audience === "disks") requireDiskHost(host);
      const scope = SCOPES[audience];
      const token = await orAbort(credential.getToken(scope, { abortSignal: signal }), signal);
      if (token === null) throw new Error("the identity gave no token");
      return token.token;
    },
  };
}

/** Best effort: a name server that does not tell is not what a probe looks for. */
async function readAliases(host: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: ALIAS_TIMEOUT_MS, tries: 1 });
  const aliases: string[] = [];
  try {
    for (let name = host; aliases.length < ALIASES_MAX;) {
      const [alias] = await resolver.resolveCname(name);
      if (alias === undefined) break;
      aliases.push(alias);
      name = alias;
    }
  } catch {
    // No further alias.
  }
  return aliases;
}

function createConnection(socket: Socket): ProbeConnection {
  let secured: TLSSocket | undefined;
  return {
    async secure(host, signal) {
      secured = connectTls({ socket, host, ...(isIP(host) === 0 && { servername: host }) });
      await ready(secured, "secureConnect", signal);
    },
    async ask(question, signal) {
      if (secured === undefined) throw new Error("secure the connection first");
      return exchange(secured, question, signal);
    },
    [Symbol.dispose]() {
      secured?.destroy();
      socket.destroy();
    },
  };
}

function exchange(
  socket: TLSSocket,
  { method, host, path, headers }: ProbeQuestion,
  signal: AbortSignal,
): Promise<ProbeAnswer> {
  return new Promise((resolve, reject) => {
    // Without an agent of its own: one would open another connection.
    const options = { method, path, headers: { host, ...headers }, signal };
    const sent = request({ ...options, createConnection: () => socket }, (response) => {
      const code = response.headers["x-ms-error-code"];
      response.resume();
      resolve({
        status: response.statusCode ?? 0,
        errorCode: typeof code === "string" ? code : "",
      });
    });
    sent.once("error", reject);
    sent.end();
  });
}

function ready(socket: Socket, event: string, signal: AbortSignal): Promise<void> {
  return orAbort(
    new Promise((resolve, reject) => {
      socket.once(event, resolve);
      // Stays for the life of the socket: an error that comes late must not end the process.
      socket.on("error", reject);
      socket.once("close", () => reject(new Error("the connection was closed")));
    }),
    signal,
  );
}

/** For what does not know signals: its result, late, is dropped. */
function orAbort<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
