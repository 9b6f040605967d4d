/**
 * A second reader of repository format 1, written from docs/repository-format.md alone. It shares
 * no code with the product on purpose: when both agree on the vectors, the page is complete.
 */
import {
  argon2Sync,
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  privateDecrypt,
  scryptSync,
} from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";

const NO_SALT = Buffer.alloc(0);

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`damage: ${what}`);
}

function hkdf(key: Buffer, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", key, salt, `holdfast/1/${purpose}`, 32));
}

function open(key: Buffer, nonce: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - 16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

function unzstd(stored: Buffer, rawBytes: number): Buffer {
  const raw = zstdDecompressSync(stored);
  check(raw.length === rawBytes, "length after zstd");
  return raw;
}

/** A password, the text of a recovery key, or the private half of a Key Vault key (PEM). */
export type Secret =
  string | { password: string } | { recoveryKey: string } | { rsaPrivateKey: string };

interface Slot {
  type: string;
  salt?: string;
  logN: number;
  r: number;
  p: number;
  memoryKiB: number;
  passes: number;
  parallelism: number;
  wrappedSecret: string;
}

/** Key of a slot, or undefined when its type does not go with the secret. */
function slotKeyOf(slot: Slot, secret: Secret): Buffer | undefined {
  const given: Record<string, string> = typeof secret === "string" ? { password: secret } : secret;
  const salt = Buffer.from(slot.salt ?? "", "base64url");
  const password = given["password"]?.normalize("NFKC");
  if (slot.type === "scrypt" && password !== undefined) {
    const { logN, r, p } = slot;
    return scryptSync(password, salt, 32, { N: 2 ** logN, r, p, maxmem: 2 ** 31 });
  }
  if (slot.type === "argon2id" && password !== undefined) {
    const { memoryKiB, passes, parallelism } = slot;
    const cost = { memory: memoryKiB, passes, parallelism, tagLength: 32 };
    return argon2Sync("argon2id", { message: password, nonce: salt, ...cost });
  }
  if (slot.type === "recovery-key" && given["recoveryKey"] !== undefined) {
    return hkdf(recoveryKeyOf(given["recoveryKey"]), salt, "slot/recovery-key");
  }
  if (slot.type === "key-vault-rsa-oaep-256" && given["rsaPrivateKey"] !== undefined) {
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    const wrapped = Buffer.from(slot.wrappedSecret, "base64url");
    const inner = privateDecrypt({ key: given["rsaPrivateKey"], ...oaep }, wrapped);
    return hkdf(inner, NO_SALT, "slot/key-vault-rsa-oaep-256");
  }
  return undefined;
}

function recoveryKeyOf(text: string): Buffer {
  let bits = 0n;
  for (const letter of text.replace(/[\s-]/g, "").toUpperCase()) {
    const digit = letter === "O" ? "0" : letter === "I" || letter === "L" ? "1" : letter;
    bits = bits * 32n + BigInt("0123456789ABCDEFGHJKMNPQRSTVWXYZ".indexOf(digit));
  }
  const bytes = Buffer.from(bits.toString(16).padStart(70, "0"), "hex");
  const key = bytes.subarray(0, 32);
  const sum = createHash("sha256").update("holdfast/1/recovery-key\n").update(key).digest();
  check(sum.subarray(0, 3).equals(bytes.subarray(32)), "recovery key is mistyped");
  return key;
}

interface Manifest {
  sizeBytes: number;
  blockBytes: number;
  leafBlocks: number;
  dataKeys: { keyId: string; wrapped: string }[];
  root: null | {
    indexId: string;
    keyNumber: number;
    frameNumber: number;
    offsetBytes: number;
    storedBytes: number;
    rawBytes: number;
  };
}

export interface VmPoint {
  vm: unknown;
  takenAt: string;
  disks: { lun: unknown; diskPoint: { diskId: string; sequence: number; manifestId: string } }[];
}

export function openFolder(folder: string, secret: Secret | undefined) {
  const file = (name: string) => readFileSync(join(folder, name));
  const descriptorBytes = file("repo.json");
  const descriptor = JSON.parse(descriptorBytes.toString());
  check(descriptor.magic === "holdfast-repository" && descriptor.formatVersion === 1, "version");
  const known = ["aes-256-gcm", "zstd", "hmac-sha-256-128", "copy-on-write-map"];
  check(
    descriptor.features.read.every((name: string) => known.includes(name)),
    "features",
  );
  const repositoryKeys = findKeys();
  const firstKey = repositoryKeys.get(descriptor.keyId);
  check(firstKey !== undefined, "the key of the descriptor");
  const tagAt = descriptorBytes.lastIndexOf(',"tag":"');
  const tag = createHmac("sha256", hkdf(firstKey, NO_SALT, "descriptor"))
    .update(descriptorBytes.subarray(0, tagAt))
    .digest("hex");
  check(descriptorBytes.subarray(tagAt).toString() === `,"tag":"${tag}"}\n`, "descriptor tag");

  function openSlots(keyId: string): Buffer | undefined {
    for (const name of readdirSync(join(folder, "keys", keyId))) {
      if (!name.endsWith(".json")) continue;
      const slot = JSON.parse(file(`keys/${keyId}/${name}`).toString());
      if (slot.type === "none" && descriptor.encryption === "none" && secret === undefined) {
        return Buffer.from(slot.key, "base64url");
      }
      const slotKey = secret === undefined ? undefined : slotKeyOf(slot, secret);
      if (slotKey === undefined) continue;
      const wrapped = Buffer.from(slot.wrapped, "base64url");
      const lines = ["holdfast/1/key-slot", slot.repositoryId, slot.keyId, slot.slotId, slot.type];
      if (slot.vaultKeyId !== undefined) lines.push(slot.vaultKeyId);
      const aad = Buffer.from(lines.join("\n"));
      try {
        return open(slotKey, wrapped.subarray(0, 12), aad, wrapped.subarray(12));
      } catch {
        // Another slot of this type may be for this secret.
      }
    }
    return undefined;
  }

  /** All repository keys that the secret leads to, by id. */
  function findKeys(): Map<string, Buffer> {
    let best = new Map<string, Buffer>();
    const rotated: string[] = [];
    for (const keyId of readdirSync(join(folder, "keys"))) {
      if (!/^[0-9a-f]{32}$/.test(keyId)) continue;
      const name = `keys/${keyId}/rewrap.manifest`;
      const hasRewrap = existsSync(join(folder, name));
      if (!hasRewrap && keyId !== descriptor.keyId) continue;
      if (hasRewrap) rotated.push(keyId);
      const key = openSlots(keyId);
      if (key === undefined) continue;
      const keys = new Map([[keyId, key]]);
      const json = hasRewrap ? envelope(name, 7, keys).json : { formerKeys: [] };
      for (const former of (json as { formerKeys: Manifest["dataKeys"] }).formerKeys) {
        const salt = Buffer.from(former.keyId, "hex");
        const aad = `holdfast/1/former-key\n${descriptor.repositoryId}\n${former.keyId}`;
        const wrapped = Buffer.from(former.wrapped, "base64url");
        const formerKey = open(
          hkdf(key, salt, "rewrap"),
          Buffer.alloc(12),
          Buffer.from(aad),
          wrapped,
        );
        keys.set(former.keyId, formerKey);
      }
      if (keys.size > best.size) best = keys;
    }
    if (best.size === 0) throw new Error("no key slot fits");
    check(
      rotated.every((keyId) => best.has(keyId)),
      "the secret is of a former key",
    );
    return best;
  }

  function envelope(
    name: string,
    kind: number,
    keys: Map<string, Buffer>,
  ): { objectId: string; json: unknown; repositoryKey: Buffer } {
    const bytes = file(name);
    const header = bytes.subarray(0, 64);
    check(header.toString("latin1", 0, 8) === "HFMANI\0\u0001", "magic of a manifest");
    const repositoryKey = keys.get(header.toString("hex", 32, 48));
    check(header[8] === kind && repositoryKey !== undefined, "kind or key");
    const objectId = header.subarray(16, 32);
    const aad = Buffer.concat([header, Buffer.from(name)]);
    const key = hkdf(repositoryKey, objectId, "manifest");
    const text = unzstd(
      open(key, Buffer.alloc(12), aad, bytes.subarray(64)),
      header.readUInt32LE(12),
    );
    const json: unknown = JSON.parse(text.toString());
    return { objectId: objectId.toString("hex"), json, repositoryKey };
  }

  function frame(
    dataKey: Buffer,
    objectId: Buffer,
    place: { purpose: number; encoding: number; frameNumber: number; rawBytes: number },
    sealed: Buffer,
  ): Buffer {
    const aad = Buffer.alloc(40);
    aad.write("HFFRAM\0\u0001", "latin1");
    aad[8] = place.purpose;
    aad[9] = place.encoding;
    aad.writeUInt32LE(place.frameNumber, 12);
    aad.writeUInt32LE(place.rawBytes, 16);
    objectId.copy(aad, 24);
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32LE(place.frameNumber, 0);
    const content = open(hkdf(dataKey, objectId, "frames"), nonce, aad, sealed);
    const raw = place.encoding === 2 ? unzstd(content, place.rawBytes) : content;
    check(raw.length === place.rawBytes, "raw length");
    return raw;
  }

  function readDisk(diskId: string, sequence: number) {
    const name = `disks/${diskId}/points/${String(sequence).padStart(10, "0")}.manifest`;
    const { objectId: manifestId, json, repositoryKey } = envelope(name, 1, repositoryKeys);
    const manifest = json as Manifest;
    const { sizeBytes, blockBytes } = manifest;
    const image = Buffer.alloc(sizeBytes);
    if (manifest.root === null) return { manifestId, image };
    const keys = manifest.dataKeys.map(({ keyId, wrapped }) =>
      open(
        hkdf(repositoryKey, Buffer.from(keyId, "hex"), "wrap"),
        Buffer.alloc(12),
        Buffer.from(`holdfast/1/data-key\n${diskId}\n${keyId}`),
        Buffer.from(wrapped, "base64url"),
      ),
    );
    const indexPart = (id: string, offset: number, length: number) =>
      file(`disks/${diskId}/indexes/${id}.index`).subarray(offset, offset + length);
    const { indexId, keyNumber, frameNumber, offsetBytes, storedBytes, rawBytes } = manifest.root;
    const root = frame(
      keys[keyNumber]!,
      Buffer.from(indexId, "hex"),
      { purpose: 3, encoding: 2, frameNumber, rawBytes },
      indexPart(indexId, offsetBytes, storedBytes),
    );
    const leafCount = root.readUInt32LE(0);
    check(leafCount === Math.ceil(Math.ceil(sizeBytes / blockBytes) / 1024), "number of leaves");
    let at = 16;
    const indexes: { id: string; keyNumber: number }[] = [];
    for (let line = root.readUInt32LE(4); line > 0; line--, at += 30) {
      indexes.push({
        id: root.toString("hex", at, at + 16),
        keyNumber: root.readUInt32LE(at + 16),
      });
    }
    const packKeys = new Map<string, number>();
    for (let line = root.readUInt32LE(8); line > 0; line--, at += 36) {
      packKeys.set(root.toString("hex", at, at + 16), root.readUInt32LE(at + 16));
    }
    for (let leafNumber = 0; leafNumber < leafCount; leafNumber++, at += 18) {
      const position = root.readUInt32LE(at);
      if (position === 0xffffffff) continue;
      const { id, keyNumber } = indexes[position]!;
      const sealed = indexPart(id, root.readUIntLE(at + 8, 6), root.readUInt32LE(at + 14));
      const leaf = frame(
        keys[keyNumber]!,
        Buffer.from(id, "hex"),
        {
          purpose: 2,
          encoding: 1,
          frameNumber: root.readUInt32LE(at + 4),
          rawBytes: sealed.length - 16,
        },
        sealed,
      );
      for (const block of blocksOf(leaf)) {
        const number = leafNumber * 1024 + block.position;
        const rawBytes = Math.min(blockBytes, sizeBytes - number * blockBytes);
        const dataKey = keys[packKeys.get(block.packId)!]!;
        const pack = file(`disks/${diskId}/packs/${block.packId.slice(0, 8)}/${block.packId}.pack`);
        const raw = frame(
          dataKey,
          Buffer.from(block.packId, "hex"),
          { purpose: 1, encoding: block.state, frameNumber: block.frameNumber, rawBytes },
          pack.subarray(block.offset, block.offset + block.stored),
        );
        const hash = createHmac("sha256", hkdf(dataKey, NO_SALT, "hash"))
          .update(raw)
          .digest();
        check(hash.subarray(0, 16).equals(block.hash), "hash of a block");
        raw.copy(image, number * blockBytes);
      }
    }
    return { manifestId, image };
  }

  function readVm(vmId: string, pointId: string): VmPoint {
    return envelope(`vms/${vmId}/points/${pointId}.manifest`, 2, repositoryKeys).json as VmPoint;
  }

  return { readDisk, readVm };
}

function* blocksOf(leaf: Buffer) {
  const packCount = leaf.readUInt32LE(0);
  const count = leaf.readUInt32LE(4);
  const columnsAt = 16 + packCount * 16;
  const hashesAt = columnsAt + leaf.readUInt32LE(12);
  const columns = unzstd(leaf.subarray(columnsAt, hashesAt), leaf.readUInt32LE(8));
  check(columns.length === 1024 + 16 * count, "columns of a leaf");
  const expected = new Map<number, { frame: number; offset: number }>();
  let n = 0;
  for (let position = 0; position < 1024; position++) {
    const state = columns[position]!;
    if (state === 0) continue;
    const pack = columns.readUInt16LE(1024 + 2 * n);
    const start = expected.get(pack) ?? { frame: 0, offset: 0 };
    const frameNumber = (start.frame + columns.readUInt32LE(1024 + 2 * count + 4 * n)) % 2 ** 32;
    const offset = (start.offset + columns.readUIntLE(1024 + 6 * count + 6 * n, 6)) % 2 ** 48;
    const stored = columns.readUInt32LE(1024 + 12 * count + 4 * n);
    expected.set(pack, { frame: frameNumber + 1, offset: offset + stored });
    const packId = leaf.toString("hex", 16 + 16 * pack, 32 + 16 * pack);
    const hash = leaf.subarray(hashesAt + 16 * n, hashesAt + 16 * n + 16);
    yield { position, state, packId, frameNumber, offset, stored, hash };
    n++;
  }
}
