/** One gateway as its stack sees it: a child process in a namespace, and the sockets to it. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { fileURLToPath } from "node:url";
import {
  onLines,
  relayHeaderSchema,
  reportSchema,
  sendLine,
  type Listener,
  type RelayHeader,
} from "./gateway-protocol.ts";
import { commandPrefixOf } from "./network-namespaces.ts";

const program = fileURLToPath(new URL("gateway.ts", import.meta.url));
const startTimeoutMs = 20_000;
const newline = 10;

export interface Datagram {
  readonly source: string;
  readonly address: string;
  readonly port: number;
  readonly bytes: Buffer;
}

export interface GatewayOptions {
  readonly namespace: string;
  /** Owns the socket, which has not been read from since its header. */
  readonly onConnection: (header: RelayHeader, socket: Socket) => void;
  /** The answer; undefined = none. */
  readonly onDatagram: (datagram: Datagram) => Buffer | undefined;
}

export class Gateway implements AsyncDisposable {
  readonly #folder: string;
  readonly #servers: readonly Server[];
  readonly #control: Socket;
  readonly #child: ChildProcess;
  readonly #orders = new Map<number, (error: string | undefined) => void>();
  #orderCount = 0;

  private constructor(parts: {
    folder: string;
    servers: readonly Server[];
    control: Socket;
    child: ChildProcess;
    options: GatewayOptions;
  }) {
    const { control, options } = parts;
    this.#folder = parts.folder;
    this.#servers = parts.servers;
    this.#control = control;
    this.#child = parts.child;
    control.on("error", () => undefined);
    control.once("close", () => this.#failOrders());
    onLines(control, (line) => this.#hear(line, options));
  }

  static async start(options: GatewayOptions): Promise<Gateway> {
    // Paths of sockets are short by necessity: 107 characters.
    const folder = await mkdtemp(joinPath(tmpdir(), "hf-gate-"));
    const relay = createServer((socket) => receiveHeader(socket, options.onConnection));
    const control = createServer();
    const controlled = new Promise<Socket>((resolve) => control.once("connection", resolve));
    await Promise.all([
      listenAt(relay, joinPath(folder, "relay.sock")),
      listenAt(control, joinPath(folder, "control.sock")),
    ]);
    const [command, ...words] = commandPrefixOf(options.namespace);
    const child = spawn(command, [...words, process.execPath, program, folder], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { PATH: process.env["PATH"] ?? "", NODE_NO_WARNINGS: "1" },
    });
    const failed = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`The gateway of ${options.namespace} ended.`)));
      setTimeout(() => reject(new Error("The gateway does not start.")), startTimeoutMs).unref();
    });
    failed.catch(() => undefined);
    try {
      const socket = await Promise.race([controlled, failed]);
      return new Gateway({ folder, servers: [relay, control], control: socket, child, options });
    } catch (error) {
      child.kill("SIGKILL");
      relay.close();
      control.close();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Listens on exactly these from now on. */
  async listen(listeners: readonly Listener[]): Promise<void> {
    await this.#order((order) => ({ kind: "listen", order, listeners: [...listeners] }));
  }

  /** @returns the path of a socket whose connections go to the address, in the namespace */
  async openDoor(name: string, address: string, port: number): Promise<string> {
    await this.#order((order) => ({ kind: "door", order, name, address, port }));
    return joinPath(this.#folder, `door-${name}.sock`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended =
      this.#child.exitCode === null && this.#child.signalCode === null
        ? new Promise((resolve) => this.#child.once("exit", resolve))
        : undefined;
    this.#control.destroy();
    this.#child.kill("SIGKILL");
    await ended;
    for (const server of this.#servers) server.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #order(make: (order: number) => Parameters<typeof sendLine>[1]): Promise<void> {
    const order = this.#orderCount++;
    const error = await new Promise<string | undefined>((resolve) => {
      this.#orders.set(order, resolve);
      sendLine(this.#control, make(order));
      if (this.#control.destroyed) this.#failOrders();
    });
    if (error !== undefined) throw new Error(`The gateway cannot do this: ${error}`);
  }

  #hear(line: string, options: GatewayOptions): void {
    const report = reportSchema.parse(JSON.parse(line));
    if (report.kind === "done") {
      this.#orders.get(report.order)?.(report.error);
      this.#orders.delete(report.order);
      return;
    }
    const { id, source, address, port } = report;
    const bytes = Buffer.from(report.bytes, "base64");
    const answer = options.onDatagram({ source, address, port, bytes });
    if (answer === undefined) return;
    sendLine(this.#control, { kind: "datagram", id, bytes: answer.toString("base64") });
  }

  #failOrders(): void {
    for (const resolve of this.#orders.values()) resolve("it ended");
    this.#orders.clear();
  }
}

async function listenAt(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}

/** Reads the header line and puts back what came with it. */
function receiveHeader(
  socket: Socket,
  onConnection: (header: RelayHeader, socket: Socket) => void,
): void {
  let bytes = Buffer.alloc(0);
  const drop = () => void socket.destroy();
  socket.on("error", drop);
  const take = (): void => {
    for (let part = readBuffer(socket); part !== undefined; part = readBuffer(socket)) {
      bytes = Buffer.concat([bytes, part]);
    }
    const end = bytes.indexOf(newline);
    if (end < 0) return;
    socket.off("readable", take);
    socket.off("error", drop);
    const header = relayHeaderSchema.parse(JSON.parse(bytes.toString("utf8", 0, end)));
    const rest = bytes.subarray(end + 1);
    if (rest.length > 0) socket.unshift(rest);
    onConnection(header, socket);
  };
  socket.on("readable", take);
}

export function readBuffer(socket: Socket): Buffer | undefined {
  const part: unknown = socket.read();
  return Buffer.isBuffer(part) ? part : undefined;
}
