/**
 * The gateway program: `gateway.ts <folder of sockets>`, started inside a namespace. It knows nothing:
 * what it accepts goes to the stack, which decides. Ends when the stack's control connection does.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join as joinPath } from "node:path";
import {
  join,
  onLines,
  orderSchema,
  sendLine,
  type Listener,
  type Order,
} from "./gateway-protocol.ts";

interface OpenListener {
  close(): void;
}

const folder = process.argv[2] ?? "";
const control = connect(joinPath(folder, "control.sock"));
const listeners = new Map<string, OpenListener>();
const waiting = new Map<number, (bytes: Buffer) => void>();
let datagramCount = 0;

control.once("close", () => process.exit(0));
control.once("error", () => process.exit(1));
onLines(control, (line) => void obey(orderSchema.parse(JSON.parse(line))));

async function obey(order: Order): Promise<void> {
  if (order.kind === "datagram") {
    waiting.get(order.id)?.(Buffer.from(order.bytes, "base64"));
    waiting.delete(order.id);
    return;
  }
  try {
    if (order.kind === "listen") await listenOn(order.listeners);
    else await openDoor(order);
    sendLine(control, { kind: "done", order: order.order });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    sendLine(control, { kind: "done", order: order.order, error: message });
  }
}

async function listenOn(wanted: readonly Listener[]): Promise<void> {
  const keys = new Map(
    wanted.map((each) => [`${each.protocol} ${each.address} ${each.port}`, each]),
  );
  for (const [key, listener] of listeners) {
    if (keys.has(key)) continue;
    listener.close();
    listeners.delete(key);
  }
  for (const [key, listener] of keys) {
    if (listeners.has(key)) continue;
    const opened = listener.protocol === "tcp" ? acceptFrom(listener) : receiveFrom(listener);
    listeners.set(key, await opened);
  }
}

async function acceptFrom({ address, port }: Listener): Promise<OpenListener> {
  const open = new Set<Socket>();
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    const relay = connect(joinPath(folder, "relay.sock"));
    sendLine(relay, { address, port, source: socket.remoteAddress ?? "" });
    join(socket, relay);
    socket.resume();
  });
  await listening(server, () => server.listen(port, address));
  return {
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function receiveFrom({ address, port }: Listener): Promise<OpenListener> {
  const socket: DatagramSocket = createSocket("udp4");
  socket.on("message", (bytes, from) => {
    const id = datagramCount++;
    waiting.set(id, (answer) => socket.send(answer, from.port, from.address));
    const text = bytes.toString("base64");
    sendLine(control, { kind: "datagram", id, source: from.address, address, port, bytes: text });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, address, resolve);
  });
  return { close: () => void socket.close() };
}

async function openDoor(door: { name: string; address: string; port: number }): Promise<void> {
  const path = joinPath(folder, `door-${door.name}.sock`);
  rmSync(path, { force: true });
  const server = createServer((socket) => join(socket, connect(door.port, door.address)));
  await listening(server, () => server.listen(path));
}

async function listening(server: Server, listen: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", resolve);
    listen();
  });
}
