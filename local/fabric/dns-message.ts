/**
 * DNS messages (RFC 1035), as far as a resolver of names to IPv4 addresses needs them: one question,
 * answers of CNAME and A records.
 */
export interface DnsQuestion {
  readonly id: number;
  /** Lower case, without the dot at its end. */
  readonly name: string;
  readonly type: number;
  /** The question section as it came, for the answer. */
  readonly section: Buffer;
}

/** A name's chain of aliases and the addresses at its end. */
export interface DnsAnswer {
  readonly status: "found" | "no-such-name";
  /** Names after the one that was asked for, each an alias of the next. */
  readonly aliases: readonly string[];
  /** IPv4; empty when the name has none. */
  readonly addresses: readonly string[];
}

export const dnsTypes = { a: 1, cname: 5, aaaa: 28 } as const;
const headerBytes = 12;
const internetClass = 1;
const lifetimeSeconds = 5;

/** Undefined for what is no standard query with exactly one question. */
export function decodeQuestion(message: Buffer): DnsQuestion | undefined {
  if (message.length < headerBytes + 5) return undefined;
  const isQuery = (message.readUInt16BE(2) & 0xf800) === 0;
  if (!isQuery || message.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = headerBytes;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return undefined;
    at++;
    if (length === 0) break;
    if (at + length > message.length) return undefined;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  if (at + 4 > message.length || message.readUInt16BE(at + 2) !== internetClass) return undefined;
  return {
    id: message.readUInt16BE(0),
    name: labels.join(".").toLowerCase(),
    type: message.readUInt16BE(at),
    section: message.subarray(headerBytes, at + 4),
  };
}

export function encodeAnswer(question: DnsQuestion, answer: DnsAnswer): Buffer {
  const records: Buffer[] = [];
  let owner = question.name;
  for (const alias of answer.aliases) {
    records.push(encodeRecord(owner, dnsTypes.cname, encodeName(alias)));
    owner = alias;
  }
  const addresses = question.type === dnsTypes.a ? answer.addresses : [];
  for (const address of addresses) {
    const bytes = Buffer.from(address.split(".").map(Number));
    records.push(encodeRecord(owner, dnsTypes.a, bytes));
  }
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(question.id, 0);
  // Answer, recursion desired and available; 3 = name error.
  header.writeUInt16BE(0x8180 | (answer.status === "no-such-name" ? 3 : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  return Buffer.concat([header, question.section, ...records]);
}

function encodeRecord(owner: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(internetClass, 2);
  fixed.writeUInt32BE(lifetimeSeconds, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(owner), fixed, data]);
}

function encodeName(name: string): Buffer {
  const parts = name.split(".").map((label) => {
    const bytes = Buffer.from(label, "latin1");
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  return Buffer.concat([...parts, Buffer.alloc(1)]);
}
