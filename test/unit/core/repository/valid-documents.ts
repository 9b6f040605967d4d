/** One valid example of each key slot and of each document that an envelope holds. */
import type { z } from "zod";
import { archiveSchema, retrievalSchema } from "#core/repository/archive/archive-manifests.ts";
import type { EnvelopeKind } from "#core/repository/format/envelope.ts";
import type { KeySlot } from "#core/repository/format/key-slot.ts";
import {
  attemptSchema,
  diskPartSchema,
  diskPointSchema,
  garbageListSchema,
  keyRewrapSchema,
  quarantineSchema,
  vmPointSchema,
} from "#core/repository/format/manifests.ts";

/** Of the repository and of everything in it. */
export const key = new Uint8Array(32);
export const id = Buffer.alloc(16, 7);
const idText = id.toString("hex");

const slotHead = {
  magic: "holdfast-key-slot",
  version: 1,
  repositoryId: idText,
  keyId: idText,
  slotId: "s",
} as const;
const salt = "AAAAAAAAAAAAAAAAAAAAAA";
export const slots: readonly KeySlot[] = [
  { ...slotHead, type: "scrypt", logN: 15, r: 8, p: 3, salt, wrapped: "AAAA" },
  {
    ...slotHead,
    type: "argon2id",
    memoryKiB: 8192,
    passes: 1,
    parallelism: 1,
    salt,
    wrapped: "AAAA",
  },
  { ...slotHead, type: "recovery-key", salt, wrapped: "AAAA" },
  {
    ...slotHead,
    type: "key-vault-rsa-oaep-256",
    vaultKeyId: "https://vault.example/keys/a/b",
    wrappedSecret: "AAAA",
    wrapped: "AAAA",
  },
  { ...slotHead, type: "none", key: Buffer.from(key).toString("base64url") },
];
const at = "2026-01-02T03:04:05Z";
const dataKeys = [{ keyId: idText, wrapped: "AAAA" }];
const diskPoint = {
  format: 1,
  diskId: "d",
  sequence: 1,
  pointId: "p",
  createdAt: at,
  sizeBytes: 4096,
  blockBytes: 4096,
  leafBlocks: 1024,
  kind: "full",
  parentSequence: null,
  changeHintWrong: false,
  dataKeys,
  root: {
    indexId: idText,
    keyNumber: 0,
    frameNumber: 0,
    offsetBytes: 64,
    storedBytes: 100,
    rawBytes: 90,
  },
  stats: {
    readBytes: 1,
    storedBytes: 1,
    zeroBytes: 1,
    unchangedBytes: 1,
    changedBytes: 1,
    blockCount: 1,
  },
};
const reference = { diskId: "d", sequence: 1, manifestId: idText };

/** What each kind of envelope holds. */
export const documents: Record<
  string,
  { readonly kind: EnvelopeKind; readonly schema: z.ZodType; readonly valid: object }
> = {
  "disk point": { kind: "diskPoint", schema: diskPointSchema, valid: diskPoint },
  "vm point": {
    kind: "vmPoint",
    schema: vmPointSchema,
    valid: {
      format: 1,
      vmId: "v",
      pointId: "p",
      takenAt: at,
      committedAt: at,
      vm: { name: "web" },
      disks: [{ lun: "os", sizeBytes: 1, diskPoint: reference }],
    },
  },
  "disk part": {
    kind: "diskPart",
    schema: diskPartSchema,
    valid: { ...diskPoint, parentManifestId: idText, firstLeaf: 0, endLeaf: 1, healedBlocks: 0 },
  },
  attempt: {
    kind: "attempt",
    schema: attemptSchema,
    valid: { format: 1, diskId: "d", sequence: 1, blockBytes: 4096, dataKey: dataKeys[0] },
  },
  "garbage list": {
    kind: "garbageList",
    schema: garbageListSchema,
    valid: { format: 1, diskId: "d", markedAt: at, objects: ["disks/d/packs/x"] },
  },
  "quarantine record": {
    kind: "quarantine",
    schema: quarantineSchema,
    valid: {
      format: 1,
      diskId: "d",
      foundAt: at,
      foundBy: "j",
      level: "complete",
      objects: [
        { kind: "pack", id: idText, frames: [1, 2] },
        { kind: "index", id: idText, frames: null },
      ],
    },
  },
  "key rewrap": {
    kind: "keyRewrap",
    schema: keyRewrapSchema,
    valid: { format: 1, repositoryId: idText, createdAt: at, formerKeys: dataKeys },
  },
  archive: {
    kind: "archive",
    schema: archiveSchema,
    valid: {
      format: 1,
      vmId: "v",
      archiveId: "a",
      pointId: "p",
      takenAt: at,
      archivedAt: at,
      vm: {},
      disks: [{ lun: 0, packCount: 1, storedBytes: 1, image: diskPoint }],
    },
  },
  retrieval: {
    kind: "retrieval",
    schema: retrievalSchema,
    valid: {
      format: 1,
      retrievalId: "r",
      vmId: "v",
      archiveId: "a",
      diskIds: ["d"],
      tier: "hot",
      priority: "high",
      startedAt: at,
    },
  },
};
