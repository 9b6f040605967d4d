/** Schemas of the JSON documents inside manifests. Unknown fields are kept out, not refused. */
import { z } from "zod";
import {
  DATA_KEYS_MAX,
  LEAF_BLOCKS,
  MAX_BLOCK_BYTES,
  MAX_DISK_BYTES,
  MAX_ROOT_BYTES,
  MIN_BLOCK_BYTES,
  damaged,
} from "./layout.ts";

const id = z.string().regex(/^[0-9a-f]{32}$/);
const count = z.number().int().nonnegative().safe();
const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/);

const dataKeySchema = z.object({ keyId: id, wrapped: base64url });

const statsSchema = z.object({
  /** Bytes read from the source. */
  readBytes: count,
  /** Bytes of frames newly stored (compressed, sealed). */
  storedBytes: count,
  /** Bytes of blocks that became or stayed zero among those that were looked at. */
  zeroBytes: count,
  /** Bytes that were read but equal the parent's or a dead predecessor's block. */
  unchangedBytes: count,
  /** Raw bytes of blocks that were new: stored, or zero where the parent had content. */
  changedBytes: count,
  /** Blocks that were looked at. */
  blockCount: count,
});

export type DiskPointStats = z.infer<typeof statsSchema>;

export const diskPointSchema = z.object({
  format: z.literal(1),
  diskId: z.string(),
  sequence: z.number().int().min(1).max(0xffff_fffe),
  /** Id that the caller gave to this backup; a retry finds its own traces by it. */
  pointId: z.string(),
  createdAt: z.iso.datetime(),
  sizeBytes: z.number().int().positive().max(MAX_DISK_BYTES),
  blockBytes: z
    .number()
    .int()
    .min(MIN_BLOCK_BYTES)
    .max(MAX_BLOCK_BYTES)
    .refine((bytes) => Number.isInteger(Math.log2(bytes))),
  leafBlocks: z.literal(LEAF_BLOCKS),
  kind: z.enum(["full", "incremental"]),
  parentSequence: count.nullable(),
  changeHintWrong: z.boolean(),
  dataKeys: z.array(dataKeySchema).min(1).max(DATA_KEYS_MAX),
  /** null: every block of the disk is zero. */
  root: z
    .object({
      indexId: id,
      keyNumber: count,
      frameNumber: count,
      offsetBytes: count,
      storedBytes: z.number().int().positive().max(MAX_ROOT_BYTES),
      rawBytes: z.number().int().positive().max(MAX_ROOT_BYTES),
    })
    .nullable(),
  stats: statsSchema,
});

export type DiskPointManifest = z.infer<typeof diskPointSchema>;

/**
 * A *disk part*: what one worker read of a full backup that several share. It is a disk point whose
 * root knows only the leaves of one range, with what the join has to know besides.
 */
export const diskPartSchema = diskPointSchema.extend({
  /** Manifest id of the newest point that it was written against; null: there was none. */
  parentManifestId: id.nullable(),
  firstLeaf: count,
  /** The first leaf behind the part. */
  endLeaf: count,
  /** Blocks of the range that the parent held damaged. */
  healedBlocks: count,
});

export type DiskPartManifest = z.infer<typeof diskPartSchema>;

export const attemptSchema = z.object({
  format: z.literal(1),
  diskId: z.string(),
  sequence: z.number().int().positive(),
  blockBytes: z.number().int().min(MIN_BLOCK_BYTES).max(MAX_BLOCK_BYTES),
  dataKey: dataKeySchema,
});

/** Former repository keys, in the envelope of the key that followed them. */
export const keyRewrapSchema = z.object({
  format: z.literal(1),
  repositoryId: id,
  createdAt: z.iso.datetime(),
  /** Oldest first; the last one is the key that was current before. */
  formerKeys: z
    .array(z.object({ keyId: id, wrapped: base64url }))
    .min(1)
    .max(100),
});

/** Entries of one garbage list; more objects take more lists. */
export const GARBAGE_LIST_OBJECTS_MAX = 50_000;

/** *Tombstones*: objects of one disk that nothing needed at `markedAt`. */
export const garbageListSchema = z.object({
  format: z.literal(1),
  diskId: z.string(),
  markedAt: z.iso.datetime(),
  /** Whole names. */
  objects: z.array(z.string()).max(GARBAGE_LIST_OBJECTS_MAX),
});

/** Frames that one quarantine record lists; more take more records. */
export const QUARANTINE_FRAMES_MAX = 50_000;

/** Objects of one disk that a health check found damaged: nothing new may refer to them. */
export const quarantineSchema = z.object({
  format: z.literal(1),
  diskId: z.string(),
  foundAt: z.iso.datetime(),
  /** Who ran the check, e.g. the id of a job. */
  foundBy: z.string(),
  level: z.string(),
  objects: z.array(
    z.object({
      kind: z.enum(["pack", "index"]),
      id,
      /** Numbers of the frames that cannot be read; null: the whole object. */
      frames: z.array(count.max(0xffff_ffff)).max(QUARANTINE_FRAMES_MAX).nullable(),
    }),
  ),
});

const diskPointReferenceSchema = z.object({
  diskId: z.string(),
  sequence: z.number().int().positive(),
  /** Random id of the manifest object: tells it from any other of the same number. */
  manifestId: id,
});

/** Names one committed disk point. Small JSON; safe to keep in an index or a message. */
export type DiskPointReference = z.infer<typeof diskPointReferenceSchema>;

export const vmPointSchema = z.object({
  format: z.literal(1),
  vmId: z.string(),
  pointId: z.string(),
  takenAt: z.iso.datetime(),
  committedAt: z.iso.datetime(),
  /** Full configuration of the VM as the caller read it; opaque here. */
  vm: z.json(),
  disks: z.array(
    z.object({
      /** `os` or the number of a data disk. */
      lun: z.union([z.literal("os"), count]),
      sizeBytes: count,
      diskPoint: diskPointReferenceSchema,
    }),
  ),
});

export type VmPoint = z.infer<typeof vmPointSchema>;

/** Validates a document of an envelope; throws `RepositoryDamaged`. */
export function parseManifest<Document>(
  schema: z.ZodType<Document>,
  name: string,
  document: unknown,
): Document {
  let result: z.ZodSafeParseResult<Document>;
  try {
    result = schema.safeParse(document);
  } catch (cause) {
    // What is nested too deeply for the stack.
    throw damaged(`the manifest ${name} is not understood`, {}, cause);
  }
  if (result.success) return result.data;
  throw damaged(`the manifest ${name} is not understood: ${z.prettifyError(result.error)}`);
}
