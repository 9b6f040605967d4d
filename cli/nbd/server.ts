import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { HoldfastError, codeOf } from "#core/lib/errors.ts";
import { serveConnection, type ConnectionOptions } from "./connection.ts";

export interface NbdServerOptions extends ConnectionOptions {
  /** Of the Unix socket, which only its owner can connect to. Removed at the end. */
  readonly path: string;
  readonly onListening: () => void;
}

/** Serves a disk until the signal is aborted. Throws `SocketNotAvailable`. */
export async function serveNbd(options: NbdServerOptions, signal: AbortSignal): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    // A client that breaks off is no failure of ours; its reads end with its connection.
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    void serveConnection(socket, options, signal);
  });
  await listen(server, options.path);
  options.onListening();
  try {
    if (!signal.aborted) await once(signal, "abort");
  } finally {
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  }
}

async function listen(server: ReturnType<typeof createServer>, path: string): Promise<void> {
  // Whoever may write to the socket reads the disk.
  const umask = process.umask(0o177);
  try {
    const listening = once(server, "listening");
    server.listen(path);
    await listening;
  } catch (cause) {
    throw new HoldfastError(
      "SocketNotAvailable",
      `The socket ${path} cannot be made (${codeOf(cause)}). Name a file that is not there, in a folder ` +
        "that you can write to; the whole name has at most 107 bytes.",
      { cause },
    );
  } finally {
    process.umask(umask);
  }
}
