/**
 * A second reader of repository format 1, written from docs/repository-format.md alone. It shares
 * no code with the product on purpose: when both agree on the vectors, the page is complete.
 */
import { createHmac } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import {
  NO_SALT,
  check,
  checkTag,
  hkdf,
  open,
  slotKeyOf,
  unzstd,
  type Secret,
} from "./independent-keys.ts";

interface Manifest {
  format: number;
  diskId: string;
  sequence: number;
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

export interface Archive {
  format: number;
  archiveId: string;
  pointId: string;
  vm: unknown;
  disks: { lun: unknown; packCount: number; storedBytes: number; image: Manifest }[];
}

export function openFolder(folder: string, secret: Secret | undefined) {
  const file = (name: string) => readFileSync(join(folder, name));
  const descriptorBytes = file("repo.json");
  const descriptor = JSON.parse(descriptorBytes.toString());
  check(descriptor.magic === "holdfast-repository" && descriptor.formatVersion === 1, "version");
  const known = [
    "aes-256-gcm",
    "zstd",
    "hmac-sha-256-128",
    "copy-on-write-map",
    "shared-frames",
  ];
  check(
    descriptor.features.read.every((name: string) => known.includes(name)),
    "features",
  );
  const repositoryKeys = findKeys();
  const firstKey = repositoryKeys.get(descriptor.keyId);
  check(firstKey !== undefined, "the key of the descriptor");
  checkTag(hkdf(firstKey, NO_SALT, "descriptor"), descriptorBytes);

  function openSlots(keyId: string): Buffer | undefined {
    for (const name of readdirSync(join(folder, "keys", keyId))) {
      if (!name.endsWith(".json")) continue;
      const bytes = file(`keys/${keyId}/${name}`);
      const slot = JSON.parse(bytes.toString());
      if (slot.repositoryId !== descriptor.repositoryId || slot.keyId !== keyId) continue;
      if (slot.type === "none" && descriptor.encryption === "none" && secret === undefined) {
        return Buffer.from(slot.key, "base64url");
      }
      const slotKey = secret === undefined ? undefined : slotKeyOf(slot, secret);
      if (slotKey === undefined) continue;
      const wrapped = Buffer.from(slot.wrapped, "base64url");
      const lines = ["holdfast/1/key-slot", slot.repositoryId, slot.keyId, slot.slotId, slot.type];
      if (slot.vaultKeyId !== undefined) lines.push(slot.vaultKeyId);
      const aad = Buffer.from(lines.join("\n"));
      let key: Buffer;
      try {
        key = open(slotKey, wrapped.subarray(0, 12), aad, wrapped.subarray(12));
      } catch {
        // Another slot of this type may be for this secret.
        continue;
      }
      if (slot.tag !== undefined) checkTag(hkdf(key, NO_SALT, "key-slot"), bytes);
      return key;
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
    check(manifest.diskId === diskId && manifest.sequence === sequence, "another point");
    return { manifestId, image: readImage(manifest, repositoryKey, file) };
  }

  /** `fileOf` finds an object by the name that it has in a repository of its own. */
  function readImage(
    manifest: Manifest,
    repositoryKey: Buffer,
    fileOf: (name: string) => Buffer,
  ): Buffer {
    const { diskId, sizeBytes, blockBytes } = manifest;
    check(manifest.format === 1 && manifest.leafBlocks === 1024, "format of a disk point");
    const image = Buffer.alloc(sizeBytes);
    if (manifest.root === null) return image;
    const keys = manifest.dataKeys.map(({ keyId, wrapped }) =>
      open(
        hkdf(repositoryKey, Buffer.from(keyId, "hex"), "wrap"),
        Buffer.alloc(12),
        Buffer.from(`holdfast/1/data-key\n${diskId}\n${keyId}`),
        Buffer.from(wrapped, "base64url"),
      ),
    );
    const indexPart = (id: string, offset: number, length: number) =>
      fileOf(`disks/${diskId}/indexes/${id}.index`).subarray(offset, offset + length);
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
        const lengthBytes = Math.min(blockBytes, sizeBytes - number * blockBytes);
        const rawBytes = block.frameBlocks === 1 ? lengthBytes : block.frameBlocks * blockBytes;
        const dataKey = keys[packKeys.get(block.packId)!]!;
        const pack = fileOf(
          `disks/${diskId}/packs/${block.packId.slice(0, 8)}/${block.packId}.pack`,
        );
        const content = frame(
          dataKey,
          Buffer.from(block.packId, "hex"),
          { purpose: 1, encoding: block.state, frameNumber: block.frameNumber, rawBytes },
          pack.subarray(block.offset, block.offset + block.stored),
        );
        const raw = content.subarray(block.place * blockBytes).subarray(0, lengthBytes);
        const hash = createHmac("sha256", hkdf(dataKey, NO_SALT, "hash"))
          .update(raw)
          .digest();
        check(hash.subarray(0, 16).equals(block.hash), "hash of a block");
        raw.copy(image, number * blockBytes);
      }
    }
    return image;
  }

  function readArchive(vmId: string, archiveId: string) {
    const folder = `archives/${vmId}/${archiveId}`;
    const { json, repositoryKey } = envelope(`${folder}/archive.manifest`, 6, repositoryKeys);
    const archive = json as Archive;
    check(archive.format === 1 && archive.archiveId === archiveId, "another archive");
    return { archive, repositoryKey, folder };
  }

  /** @param retrievalId absent: packs lie in the archive itself, as in a folder */
  function readArchivedDisk(
    name: { vmId: string; archiveId: string; diskId: string },
    retrievalId?: string,
  ): Buffer {
    const { archive, repositoryKey, folder } = readArchive(name.vmId, name.archiveId);
    const disk = archive.disks.find(({ image }) => image.diskId === name.diskId);
    check(disk !== undefined, "no such disk in the archive");
    let packFolder = folder;
    if (retrievalId !== undefined) {
      packFolder = `retrievals/${retrievalId}`;
      const { json } = envelope(`${packFolder}/retrieval.manifest`, 9, repositoryKeys);
      const retrieval = json as { archiveId: string; diskIds: string[] };
      const isOfDisk = retrieval.diskIds.includes(name.diskId);
      check(retrieval.archiveId === name.archiveId && isOfDisk, "another retrieval");
    }
    return readImage(disk.image, repositoryKey, (part) =>
      file(`${part.endsWith(".pack") ? packFolder : folder}/${part}`),
    );
  }

  function readVm(vmId: string, pointId: string): VmPoint {
    return envelope(`vms/${vmId}/points/${pointId}.manifest`, 2, repositoryKeys).json as VmPoint;
  }

  return { readDisk, readVm, readArchivedDisk, readArchive: readArchiveManifest };

  function readArchiveManifest(vmId: string, archiveId: string): Archive {
    return readArchive(vmId, archiveId).archive;
  }
}

const NO_FRAME = { frame: 0, blocks: 0, offset: 0, stored: 0 };

function* blocksOf(leaf: Buffer) {
  const packCount = leaf.readUInt32LE(0);
  const count = leaf.readUInt32LE(4);
  const columnsAt = 16 + packCount * 16;
  const hashesAt = columnsAt + leaf.readUInt32LE(12);
  const columns = unzstd(leaf.subarray(columnsAt, hashesAt), leaf.readUInt32LE(8));
  const isShared = count > 0 && columns.length === 1024 + 18 * count;
  check(isShared || columns.length === 1024 + 16 * count, "columns of a leaf");
  const last = new Map<number, { frame: number; blocks: number; offset: number; stored: number }>();
  let n = 0;
  for (let position = 0; position < 1024; position++) {
    const state = columns[position]!;
    if (state === 0) continue;
    const pack = columns.readUInt16LE(1024 + 2 * n);
    const place = isShared ? columns[1024 + 16 * count + n]! : 0;
    const frameBlocks = isShared ? columns[1024 + 17 * count + n]! : 1;
    check(place < frameBlocks, "place of a block in its frame");
    const { frame, blocks, offset: at, stored: length } = last.get(pack) ?? NO_FRAME;
    const start = place > 0 ? { frame, at } : { frame: frame + blocks, at: at + length };
    const frameNumber = (start.frame + columns.readUInt32LE(1024 + 2 * count + 4 * n)) % 2 ** 32;
    const offset = (start.at + columns.readUIntLE(1024 + 6 * count + 6 * n, 6)) % 2 ** 48;
    const stored = columns.readUInt32LE(1024 + 12 * count + 4 * n);
    last.set(pack, { frame: frameNumber, blocks: frameBlocks, offset, stored });
    const packId = leaf.toString("hex", 16 + 16 * pack, 32 + 16 * pack);
    const hash = leaf.subarray(hashesAt + 16 * n, hashesAt + 16 * n + 16);
    yield { position, state, packId, frameNumber, place, frameBlocks, offset, stored, hash };
    n++;
  }
}
