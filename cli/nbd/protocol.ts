/**
 * Messages of the Network Block Device protocol, as far as a server of one read-only disk needs them:
 * fixed newstyle negotiation and simple replies. All numbers are big endian.
 * Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
export const OPTIONS = { exportName: 1, abort: 2, list: 3, info: 6, go: 7 } as const;
/** Replies to options. The highest bit marks errors. */
export const REPLIES = {
  ack: 1,
  server: 2,
  info: 3,
  unsupported: 2 ** 31 + 1,
  invalid: 2 ** 31 + 3,
  unknown: 2 ** 31 + 6,
} as const;
export const COMMANDS = { read: 0, write: 1, disconnect: 2, trim: 4, writeZeroes: 6 } as const;
/** Errors of requests; the values are those of Linux. */
export const ERRORS = { none: 0, notPermitted: 1, io: 5, invalid: 22 } as const;

export const OPTION_HEADER_BYTES = 16;
export const REQUEST_HEADER_BYTES = 28;
export const CLIENT_FLAGS_BYTES = 4;
/** What a server must take at least when nothing was agreed: 32 MiB. */
export const REQUEST_MAX_BYTES = 32 * 1024 * 1024;
const PREFERRED_REQUEST_BYTES = 1024 * 1024;

const FIXED_NEWSTYLE = 1;
const NO_ZEROES = 2;
/** The export has flags, is read-only, and answers all connections alike. */
const EXPORT_FLAGS = 1 | 2 | 256;
const OPTION_MAGIC = "IHAVEOPT";
const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n;
const REQUEST_MAGIC = 0x2560_9513;
const SIMPLE_REPLY_MAGIC = 0x6744_6698;
const INFO_EXPORT = 0;
const INFO_BLOCK_SIZE = 3;

/** What the client sent is not this protocol. The connection ends: there is no place to go on from. */
export class ProtocolBroken extends Error {}

export function encodeGreeting(): Buffer {
  const flags = Buffer.alloc(2);
  flags.writeUInt16BE(FIXED_NEWSTYLE | NO_ZEROES);
  return Buffer.concat([Buffer.from(`NBDMAGIC${OPTION_MAGIC}`, "latin1"), flags]);
}

export function decodeClientFlags(bytes: Buffer): { readonly wantsZeroes: boolean } {
  const flags = bytes.readUInt32BE(0);
  if ((flags & ~(FIXED_NEWSTYLE | NO_ZEROES)) !== 0 || (flags & FIXED_NEWSTYLE) === 0) {
    throw new ProtocolBroken(`the client's flags are ${flags}`);
  }
  return { wantsZeroes: (flags & NO_ZEROES) === 0 };
}

export function decodeOptionHeader(bytes: Buffer): {
  readonly option: number;
  readonly dataBytes: number;
} {
  if (bytes.toString("latin1", 0, 8) !== OPTION_MAGIC) throw new ProtocolBroken("no option");
  return { option: bytes.readUInt32BE(8), dataBytes: bytes.readUInt32BE(12) };
}

export function encodeOptionReply(option: number, reply: number, data?: Buffer): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(reply, 12);
  header.writeUInt32BE(data?.length ?? 0, 16);
  return data === undefined ? header : Buffer.concat([header, data]);
}

/** The export's name in the data of `info` and `go`; undefined when the data contradicts itself. */
export function decodeInfoName(data: Buffer): string | undefined {
  if (data.length < 6) return undefined;
  const nameBytes = data.readUInt32BE(0);
  if (data.length < 6 + nameBytes) return undefined;
  const requests = data.readUInt16BE(4 + nameBytes);
  if (data.length !== 6 + nameBytes + 2 * requests) return undefined;
  return data.toString("utf8", 4, 4 + nameBytes);
}

/** Data of the one line of a list: an export with the empty name, which is the default one. */
export function encodeDefaultExport(): Buffer {
  return Buffer.alloc(4);
}

/** Size and flags, as `exportName` is answered. */
export function encodeExport(sizeBytes: number, wantsZeroes: boolean): Buffer {
  const answer = Buffer.alloc(10 + (wantsZeroes ? 124 : 0));
  answer.writeBigUInt64BE(BigInt(sizeBytes), 0);
  answer.writeUInt16BE(EXPORT_FLAGS, 8);
  return answer;
}

/** Data of the replies to `info` and `go`: size and flags, then sizes of requests. */
export function encodeInfos(sizeBytes: number): readonly [Buffer, Buffer] {
  const aboutExport = Buffer.alloc(2 + 10);
  aboutExport.writeUInt16BE(INFO_EXPORT, 0);
  encodeExport(sizeBytes, false).copy(aboutExport, 2);
  const aboutRequests = Buffer.alloc(2 + 12);
  aboutRequests.writeUInt16BE(INFO_BLOCK_SIZE, 0);
  aboutRequests.writeUInt32BE(1, 2);
  aboutRequests.writeUInt32BE(PREFERRED_REQUEST_BYTES, 6);
  aboutRequests.writeUInt32BE(REQUEST_MAX_BYTES, 10);
  return [aboutExport, aboutRequests];
}

export interface NbdRequest {
  readonly command: number;
  /** Names the request in its reply. */
  readonly cookie: bigint;
  readonly offsetBytes: bigint;
  readonly lengthBytes: number;
}

export function decodeRequest(bytes: Buffer): NbdRequest {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) throw new ProtocolBroken("no request");
  return {
    command: bytes.readUInt16BE(6),
    cookie: bytes.readBigUInt64BE(8),
    offsetBytes: bytes.readBigUInt64BE(16),
    lengthBytes: bytes.readUInt32BE(24),
  };
}

export function encodeReplyHeader(cookie: bigint, error: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  header.writeUInt32BE(error, 4);
  header.writeBigUInt64BE(cookie, 8);
  return header;
}
