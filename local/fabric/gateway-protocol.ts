/**
 * Between a stack and a *gateway*, the only process of the stack that lives in a namespace: sockets
 * in the file system reach across namespaces. Lines of JSON on `control.sock`; each connection that the
 * gateway accepts comes as one on `relay.sock` that begins with a header line.
 */
import { createInterface } from "node:readline";
import type { Socket } from "node:net";
import { z } from "zod";

export const listenerSchema = z.object({
  address: z.string(),
  port: z.number(),
  protocol: z.enum(["tcp", "udp"]),
});
export type Listener = z.infer<typeof listenerSchema>;

/** What the stack tells. */
export const orderSchema = z.discriminatedUnion("kind", [
  /** All that the gateway listens on from now on; others are closed with their connections. */
  z.object({ kind: z.literal("listen"), order: z.number(), listeners: z.array(listenerSchema) }),
  /** Connections to `door-<name>.sock` go to this address of the gateway's namespace. */
  z.object({
    kind: z.literal("door"),
    order: z.number(),
    name: z.string(),
    address: z.string(),
    port: z.number(),
  }),
  z.object({ kind: z.literal("datagram"), id: z.number(), bytes: z.base64() }),
]);
export type Order = z.infer<typeof orderSchema>;

/** What the gateway tells. */
export const reportSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("done"), order: z.number(), error: z.string().optional() }),
  z.object({
    kind: z.literal("datagram"),
    id: z.number(),
    source: z.string(),
    address: z.string(),
    port: z.number(),
    bytes: z.base64(),
  }),
]);
export type Report = z.infer<typeof reportSchema>;

export const relayHeaderSchema = z.object({
  /** Where the connection was accepted. */
  address: z.string(),
  port: z.number(),
  source: z.string(),
});
export type RelayHeader = z.infer<typeof relayHeaderSchema>;

export function sendLine(socket: Socket, line: Order | Report | RelayHeader): void {
  socket.write(`${JSON.stringify(line)}\n`);
}

/** Calls `take` with each line; ends with the socket. */
export function onLines(socket: Socket, take: (line: string) => void): void {
  createInterface({ input: socket, crlfDelay: Infinity }).on("line", take);
}

/** Joins two connections until both have ended. */
export function join(left: Socket, right: Socket): void {
  left.pipe(right);
  right.pipe(left);
  for (const [socket, other] of [
    [left, right],
    [right, left],
  ] as const) {
    socket.once("error", () => other.destroy());
    socket.once("close", () => other.end());
  }
}
