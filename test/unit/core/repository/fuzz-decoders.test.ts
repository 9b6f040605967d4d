/**
 * Random bytes, valid bytes with edits, and hostile lengths into every decoder of the repository: a
 * value or a clear error, never another exception, and never an allocation beyond the limits of
 * `format/layout.ts` and of the input itself.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { decodeBlocks } from "#core/repository/index.ts";
import { compress, decompress } from "#core/repository/codec/zstd.ts";
import {
  decodeDescriptor,
  encodeDescriptor,
  newDescriptor,
} from "#core/repository/format/descriptor.ts";
import { openEnvelope, sealEnvelope } from "#core/repository/format/envelope.ts";
import {
  decodeKeySlot,
  encodeKeySlot,
  verifyKeySlot,
  type KeySlot,
} from "#core/repository/format/key-slot.ts";
import {
  ZERO_NONCE,
  manifestKeyOf,
  seal,
  unwrapDataKey,
  unwrapFormerKey,
  wrapDataKey,
  wrapFormerKey,
} from "#core/repository/format/keys.ts";
import {
  MAX_BLOCK_BYTES,
  MAX_FOOTER_BYTES,
  MAX_LEAF_BYTES,
  MAX_MANIFEST_BYTES,
} from "#core/repository/format/layout.ts";
import { decodeLeaf, encodeLeaf } from "#core/repository/format/leaf.ts";
import { parseManifest } from "#core/repository/format/manifests.ts";
import { decodeRecoveryKey, encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { LeafTable } from "#core/repository/format/leaf-table.ts";
import { decodeRoot, encodeRoot } from "#core/repository/format/root.ts";
import {
  decodeFooter,
  decodeHeader,
  decodeTrailer,
  encodeFooter,
  encodeHeader,
} from "#core/repository/format/sealed-object.ts";
import { documents, id, key, slots } from "./valid-documents.ts";

const idText = id.toString("hex");
const envelopeKey = { repositoryKeyId: idText, repositoryKey: key };

const entry = (number: number) => ({
  packId: idText,
  frameNumber: number,
  offsetBytes: 64 + number * 100,
  storedBytes: 100,
  encoding: 1 as const,
  position: 0,
  frameBlocks: 1,
  hash: new Uint8Array(16),
});
const leaf = encodeLeaf(
  Array.from({ length: 1024 }, (_, block) => (block % 3 === 0 ? entry(block) : undefined)),
);
const use = { keyNumber: 0, objectBytes: 1000, immutableUntilDay: 0 };
const root = encodeRoot({
  leaves: LeafTable.from([
    undefined,
    { indexId: idText, frameNumber: 0, offsetBytes: 64, storedBytes: 500 },
  ]),
  packs: new Map([[idText, { ...use, liveBytes: 10 }]]),
  indexes: new Map([[idText, use]]),
});
const footerEntry = {
  number: 0,
  frameNumber: 0,
  purpose: 1 as const,
  encoding: 1 as const,
  storedBytes: 100,
  rawBytes: 84,
  hash: new Uint8Array(16),
};
const footer = encodeFooter(key, id, [footerEntry, footerEntry]);
const descriptor = encodeDescriptor(
  newDescriptor({
    repositoryId: idText,
    keyId: idText,
    createdAt: new Date(0),
    encryption: "aes-256-gcm",
  }),
  key,
);
const name = "disks/d/points/0000000001.manifest";
const envelope = sealEnvelope(envelopeKey, {
  kind: "diskPoint",
  name,
  objectId: id,
  document: { format: 1 },
});
const recoveryKey = Buffer.from(encodeRecoveryKey(new Uint8Array(32)));

const formerKey = { repositoryId: idText, keyId: idText };
const dataKey = { diskId: "d", keyId: idText };
/** Deeper than any stack. */
const deepJson = "[".repeat(20_000) + "]".repeat(20_000);

interface Decoder {
  readonly valid: Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  /** Other codes than `RepositoryDamaged` that are documented for this input. */
  readonly codes?: readonly string[];
}

/** The JSON that an envelope of this kind holds, as noise would change it. */
function documentDecoder({ schema, valid }: (typeof documents)[string]): Decoder {
  return {
    valid: Buffer.from(JSON.stringify(valid)),
    decode: (bytes) => {
      let document: unknown = bytes;
      try {
        document = JSON.parse(Buffer.from(bytes).toString());
      } catch {
        // Envelopes give JSON only; anything else is tried as it is.
      }
      return parseManifest<unknown>(schema, name, document);
    },
  };
}

function envelopeDecoder({ kind, valid }: (typeof documents)[string]): Decoder {
  return {
    valid: sealEnvelope(envelopeKey, { kind, name, objectId: id, document: valid }),
    decode: (bytes) => openEnvelope(envelopeKey, kind, name, bytes),
  };
}

function slotDecoder(slot: KeySlot): Decoder {
  return {
    valid: encodeKeySlot(slot, key),
    decode: (bytes) => verifyKeySlot("s", bytes, decodeKeySlot("s", bytes), key),
  };
}

const decoders: Record<string, Decoder> = {
  leaf: { valid: leaf, decode: (bytes) => decodeLeaf(bytes) },
  root: { valid: root, decode: (bytes) => decodeRoot(Buffer.from(bytes), 2, 1) },
  header: { valid: encodeHeader("pack", id, id), decode: (bytes) => decodeHeader("pack", bytes) },
  footer: { valid: footer.subarray(0, -32), decode: (bytes) => decodeFooter(key, id, bytes) },
  trailer: { valid: footer.subarray(-32), decode: (bytes) => decodeTrailer(bytes, id) },
  ...Object.fromEntries(
    Object.entries(documents).flatMap(([kind, each]) => [
      [`${kind} document`, documentDecoder(each)],
      [`${kind} envelope`, envelopeDecoder(each)],
    ]),
  ),
  ...Object.fromEntries(slots.map((slot) => [`slot ${slot.type}`, slotDecoder(slot)])),
  descriptor: {
    valid: descriptor,
    decode: (bytes) => decodeDescriptor(bytes),
    codes: ["NotARepository", "RepositoryTooNew"],
  },
  "data key": {
    valid: Buffer.from(wrapDataKey(key, dataKey, new Uint8Array(32)), "base64url"),
    decode: (bytes) => unwrapDataKey(key, dataKey, Buffer.from(bytes).toString("base64url")),
  },
  "former key": {
    valid: Buffer.from(wrapFormerKey(key, formerKey, new Uint8Array(32)), "base64url"),
    decode: (bytes) => unwrapFormerKey(key, formerKey, Buffer.from(bytes).toString("base64url")),
  },
  "recovery key": {
    valid: recoveryKey,
    decode: (bytes) => decodeRecoveryKey(Buffer.from(bytes).toString()),
    codes: ["RecoveryKeyMistyped"],
  },
  frame: {
    valid: Buffer.alloc(300),
    decode: (bytes) => decodeBlocks({ bytes, blocks: [blockOf(bytes.length, 4096)] }),
  },
  zstd: { valid: compress(Buffer.alloc(5000, "x")), decode: (bytes) => decompress(bytes, 5000) },
};

function blockOf(storedBytes: number, rawBytes: number, frameBlocks = 1) {
  const keys = { packId: id, frameKey: key, hashKey: key, hash: new Uint8Array(16) };
  const place = { frameNumber: 0, position: 0, frameBlocks };
  return { offsetBytes: 0, storedBytes, rawBytes, encoding: 2 as const, ...place, ...keys };
}

/** In place of what follows a colon, if there is one: a member of JSON that is deeply nested. */
function withDeepJson(valid: Uint8Array, near: number): Buffer {
  const text = Buffer.from(valid).toString("latin1");
  const at = text.indexOf(":", near) + 1;
  const end = text.slice(at).search(/[,}]/) + at;
  return Buffer.from(text.slice(0, at) + deepJson + text.slice(Math.max(at, end)), "latin1");
}

function noiseAround(valid: Uint8Array): fc.Arbitrary<Uint8Array> {
  const position = fc.nat(valid.length - 1);
  const edits = fc.array(fc.tuple(position, fc.nat(255)), { minLength: 1, maxLength: 4 });
  const edited = edits.map((list) => {
    const bytes = Buffer.from(valid);
    for (const [at, value] of list) bytes[at] = value;
    return bytes;
  });
  // Four bytes that claim a length, anywhere.
  const lengths = fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff);
  const hostile = fc.tuple(position, lengths).map(([at, length]) => {
    const bytes = Buffer.alloc(Math.max(valid.length, at + 4));
    bytes.set(valid);
    bytes.writeUInt32LE(length, at);
    return bytes.subarray(0, valid.length);
  });
  return fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    edited,
    hostile,
    position.map((end) => Buffer.from(valid.subarray(0, end))),
    fc.uint8Array({ minLength: 1, maxLength: 64 }).map((tail) => Buffer.concat([valid, tail])),
    fc.json().map((text) => Buffer.from(text)),
    position.map((at) => withDeepJson(valid, at)),
  );
}

/** It starts from noise and has no content of its own. */
const withContent = Object.keys(decoders).filter((each) => each !== "frame");

it.each(withContent)("%s: decodes what is valid", (which) => {
  const decoder = decoders[which];
  expect(() => decoder?.decode(decoder.valid)).not.toThrow();
});

it.each(Object.keys(decoders))("%s: any bytes give a value or a clear error", (which) => {
  const decoder = decoders[which];
  if (decoder === undefined) throw new Error(`no decoder ${which}`);
  const allowed = ["RepositoryDamaged", ...(decoder.codes ?? [])];
  fc.assert(
    fc.property(noiseAround(decoder.valid), (bytes) => {
      try {
        decoder.decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(HoldfastError);
        expect(allowed).toContain((error as HoldfastError).code);
      }
    }),
    { numRuns: 150 },
  );
});

const refusal = expect.objectContaining({ code: "RepositoryDamaged" });

function codeOfCall(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

it("refuses lengths beyond the limits before anything is allocated for them", () => {
  // An envelope that claims more than 64 MiB of JSON.
  const large = Buffer.from(envelope);
  large.writeUInt32LE(MAX_MANIFEST_BYTES + 1, 12);
  expect(codeOfCall(() => openEnvelope(envelopeKey, "diskPoint", name, large))).toEqual(
    expect.objectContaining({ message: expect.stringContaining("too large") }),
  );
  // A trailer with a footer of more than 64 MiB, in itself consistent.
  const frameCount = Math.ceil(MAX_FOOTER_BYTES / 40);
  const trailer = Buffer.from(footer.subarray(-32));
  trailer.writeUInt32LE(frameCount * 40 + 16, 8);
  trailer.writeUInt32LE(frameCount, 12);
  expect(codeOfCall(() => decodeTrailer(trailer, id))).toEqual(refusal);
  // A root whose tables would not fit into it, and one that names a leaf of more than 1 MiB.
  const tables = Buffer.from(root);
  tables.writeUInt32LE(0xffff_ffff, 8);
  expect(codeOfCall(() => decodeRoot(tables, 2, 1))).toEqual(refusal);
  const longLeaf = Buffer.from(root);
  longLeaf.writeUInt32LE(MAX_LEAF_BYTES + 1, longLeaf.length - 4);
  expect(codeOfCall(() => decodeRoot(longLeaf, 2, 1))).toEqual(refusal);
  // A leaf that claims columns of 4 GiB, more packs and more blocks than it can have.
  for (const at of [0, 4, 8, 12]) {
    const claims = Buffer.from(leaf);
    claims.writeUInt32LE(0xffff_ffff, at);
    expect(codeOfCall(() => decodeLeaf(claims))).toEqual(refusal);
  }
  // A frame that claims more than the largest block.
  for (const block of [blockOf(300, MAX_BLOCK_BYTES + 1), blockOf(300, MAX_BLOCK_BYTES / 2, 3)]) {
    const job = { bytes: new Uint8Array(300), blocks: [block] };
    expect(codeOfCall(() => decodeBlocks(job))).toEqual(refusal);
  }
});

it("stops a zstd frame that unpacks to more than was recorded", () => {
  const bomb = compress(Buffer.alloc(32 * 1024 * 1024));
  expect(bomb.length).toBeLessThan(16 * 1024);
  expect(codeOfCall(() => decompress(bomb, 4096))).toEqual(refusal);
  expect(codeOfCall(() => decompress(bomb, 0))).toEqual(refusal);
});

it.each(Object.entries(documents))(
  "%s: a deeply nested value anywhere in the document is refused or left out",
  (_kind, { schema, valid }) => {
    const deep: unknown = JSON.parse(deepJson);
    for (const member of [...Object.keys(valid), "unknown"]) {
      const answer = codeOfCall(() =>
        parseManifest<unknown>(schema, name, { ...valid, [member]: deep }),
      );
      if (answer instanceof Error) expect(answer).toEqual(refusal);
      else expect(answer).not.toHaveProperty(member);
    }
    expect(codeOfCall(() => parseManifest<unknown>(schema, name, deep))).toEqual(refusal);
  },
);

function sealedText(text: Buffer): Buffer {
  const header = Buffer.from(envelope.subarray(0, 64));
  header.writeUInt32LE(text.length, 12);
  const aad = Buffer.concat([header, Buffer.from(name)]);
  return Buffer.concat([header, seal(manifestKeyOf(key, id), ZERO_NONCE, aad, compress(text))]);
}

it("refuses an envelope of deeply nested JSON before it is parsed", () => {
  const text = Buffer.alloc(MAX_MANIFEST_BYTES, "[");
  const opened = codeOfCall(() => openEnvelope(envelopeKey, "diskPoint", name, sealedText(text)));
  expect(opened).toEqual(
    expect.objectContaining({ message: expect.stringContaining("nested too deeply") }),
  );
});

it("seals no document that it would not open", () => {
  const options = { kind: "vmPoint", name, objectId: id } as const;
  const deep: unknown = JSON.parse("[".repeat(101) + "]".repeat(101));
  const bug = expect.objectContaining({ code: "Bug" });
  expect(codeOfCall(() => sealEnvelope(envelopeKey, { ...options, document: deep }))).toEqual(bug);
  const large = "x".repeat(MAX_MANIFEST_BYTES);
  expect(codeOfCall(() => sealEnvelope(envelopeKey, { ...options, document: large }))).toEqual(bug);
});
