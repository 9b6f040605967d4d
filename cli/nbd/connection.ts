/**
 * One client of a disk that is served by NBD: it agrees on the export, then its requests are answered
 * in whatever order their bytes arrive.
 *
 * Memory: the bytes of requests under way are bounded by `UNDER_WAY_BYTES` or one request, beside the
 * disk's cache; further requests stay in the socket.
 */
import type { Duplex } from "node:stream";
import { once } from "node:events";
import type { DiskRange } from "#core/ports/disk-data.ts";
import { ByteIntake } from "./byte-intake.ts";
import {
  CLIENT_FLAGS_BYTES,
  COMMANDS,
  ERRORS,
  OPTIONS,
  OPTION_HEADER_BYTES,
  ProtocolBroken,
  REPLIES,
  REQUEST_HEADER_BYTES,
  REQUEST_MAX_BYTES,
  decodeClientFlags,
  decodeInfoName,
  decodeOptionHeader,
  decodeRequest,
  encodeDefaultExport,
  encodeExport,
  encodeGreeting,
  encodeInfos,
  encodeOptionReply,
  encodeReplyHeader,
  type NbdRequest,
} from "./protocol.ts";

/** What is served: a disk that never changes. */
export interface ServedDisk {
  readonly sizeBytes: number;
  read(range: DiskRange, signal: AbortSignal): Promise<Uint8Array>;
}

/** A name has 4,096 bytes at most; nothing else is longer. */
const OPTION_DATA_MAX_BYTES = 64 * 1024;
const UNDER_WAY_BYTES = REQUEST_MAX_BYTES;
const CHANGING: ReadonlySet<number> = new Set([
  COMMANDS.write,
  COMMANDS.trim,
  COMMANDS.writeZeroes,
]);

export interface ConnectionOptions {
  readonly disk: ServedDisk;
  /** A read failed; the client only learns that it did. */
  readonly onReadFailed: (error: unknown) => void;
}

/** Ends when the client has gone, or said what is no NBD. Never throws. */
export async function serveConnection(
  socket: Duplex,
  options: ConnectionOptions,
  signal: AbortSignal,
): Promise<void> {
  const intake = new ByteIntake(socket);
  try {
    if (await negotiate(socket, intake, options.disk)) {
      await new Transmission(socket, options, signal).serve(intake);
    }
  } catch (error) {
    if (!(error instanceof ProtocolBroken) && !socket.destroyed) options.onReadFailed(error);
  } finally {
    socket.destroy();
  }
}

/** False when the client left, or is to be left. */
async function negotiate(socket: Duplex, intake: ByteIntake, disk: ServedDisk): Promise<boolean> {
  socket.write(encodeGreeting());
  const flags = await intake.take(CLIENT_FLAGS_BYTES);
  if (flags === undefined) return false;
  const { wantsZeroes } = decodeClientFlags(flags);
  for (;;) {
    const header = await intake.take(OPTION_HEADER_BYTES);
    if (header === undefined) return false;
    const { option, dataBytes } = decodeOptionHeader(header);
    if (dataBytes > OPTION_DATA_MAX_BYTES) throw new ProtocolBroken("an option is too long");
    const data = await intake.take(dataBytes);
    if (data === undefined) return false;
    const reply = (kind: number, content?: Buffer): boolean =>
      socket.write(encodeOptionReply(option, kind, content));
    switch (option) {
      case OPTIONS.exportName:
        // Its only answer to a name that is not known is to leave.
        if (data.length > 0) return false;
        socket.write(encodeExport(disk.sizeBytes, wantsZeroes));
        return true;
      case OPTIONS.abort:
        reply(REPLIES.ack);
        return false;
      case OPTIONS.list:
        reply(REPLIES.server, encodeDefaultExport());
        reply(REPLIES.ack);
        break;
      case OPTIONS.info:
      case OPTIONS.go: {
        const name = decodeInfoName(data);
        if (name === undefined) reply(REPLIES.invalid);
        else if (name !== "") reply(REPLIES.unknown);
        else {
          for (const info of encodeInfos(disk.sizeBytes)) reply(REPLIES.info, info);
          reply(REPLIES.ack);
          if (option === OPTIONS.go) return true;
        }
        break;
      }
      default:
        reply(REPLIES.unsupported);
    }
  }
}

/** Answers requests until the client has gone. */
class Transmission {
  readonly #socket: Duplex;
  readonly #options: ConnectionOptions;
  readonly #signal: AbortSignal;
  readonly #underWay = new Set<Promise<void>>();
  #underWayBytes = 0;

  constructor(socket: Duplex, options: ConnectionOptions, signal: AbortSignal) {
    this.#socket = socket;
    this.#options = options;
    this.#signal = signal;
  }

  async serve(intake: ByteIntake): Promise<void> {
    for (;;) {
      const header = await intake.take(REQUEST_HEADER_BYTES);
      if (header === undefined) break;
      const request = decodeRequest(header);
      if (request.command === COMMANDS.disconnect) break;
      if (request.command === COMMANDS.read) await this.#startRead(request);
      else if (CHANGING.has(request.command)) {
        const payloadBytes = request.command === COMMANDS.write ? request.lengthBytes : 0;
        if (!(await intake.skip(payloadBytes))) break;
        this.#socket.write(encodeReplyHeader(request.cookie, ERRORS.notPermitted));
      } else this.#socket.write(encodeReplyHeader(request.cookie, ERRORS.invalid));
    }
    await Promise.all(this.#underWay);
  }

  async #startRead(request: NbdRequest): Promise<void> {
    const { cookie, offsetBytes, lengthBytes } = request;
    const isInside =
      lengthBytes > 0 &&
      lengthBytes <= REQUEST_MAX_BYTES &&
      offsetBytes + BigInt(lengthBytes) <= BigInt(this.#options.disk.sizeBytes);
    if (!isInside) {
      this.#socket.write(encodeReplyHeader(cookie, ERRORS.invalid));
      return;
    }
    while (this.#underWayBytes > 0 && this.#underWayBytes + lengthBytes > UNDER_WAY_BYTES) {
      await Promise.race(this.#underWay);
    }
    this.#underWayBytes += lengthBytes;
    const answering = this.#answerRead(request).finally(() => {
      this.#underWayBytes -= lengthBytes;
      this.#underWay.delete(answering);
    });
    this.#underWay.add(answering);
  }

  async #answerRead({ cookie, offsetBytes, lengthBytes }: NbdRequest): Promise<void> {
    const { disk, onReadFailed } = this.#options;
    let bytes: Uint8Array;
    try {
      const range = { offsetBytes: Number(offsetBytes), lengthBytes };
      bytes = await disk.read(range, this.#signal);
    } catch (error) {
      if (!this.#signal.aborted) onReadFailed(error);
      this.#socket.write(encodeReplyHeader(cookie, ERRORS.io));
      return;
    }
    if (this.#socket.destroyed) return;
    this.#socket.write(encodeReplyHeader(cookie, ERRORS.none));
    // The bytes count as under way until the client takes them.
    if (!this.#socket.write(bytes)) await this.#drained();
  }

  async #drained(): Promise<void> {
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    this.#socket.once("close", onClose);
    try {
      await once(this.#socket, "drain", { signal: gone.signal });
    } catch {
      // The client has gone: there is nobody to wait for.
    } finally {
      this.#socket.off("close", onClose);
    }
  }
}
