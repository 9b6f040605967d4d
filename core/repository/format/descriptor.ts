/**
 * `repo.json`: what this folder is and what a program must understand to read it, to write to it
 * and to delete from it. JSON in the clear, authenticated by the repository key.
 */
import { z } from "zod";
import { HoldfastError } from "../../lib/errors.ts";
import { FORMAT_VERSION, damaged, objectNames } from "./layout.ts";
import { descriptorKeyOf } from "./keys.ts";
import { encodeTaggedJson, isTaggedBy } from "./tagged-json.ts";

/** Frames may hold several blocks. Repositories from before it have frames of one block only. */
export const SHARED_FRAMES = "shared-frames";

/** Everything that a new repository of format 1 asks of a reader. */
const FEATURES_OF_FORMAT_1 = [
  "aes-256-gcm",
  "zstd",
  "hmac-sha-256-128",
  "copy-on-write-map",
  SHARED_FRAMES,
];

const KNOWN_FEATURES = {
  read: new Set(FEATURES_OF_FORMAT_1),
  write: new Set<string>(),
  delete: new Set<string>(),
} as const;

export type RepositoryOperation = keyof typeof KNOWN_FEATURES;

const descriptorSchema = z.object({
  magic: z.literal("holdfast-repository"),
  formatVersion: z.number().int().positive(),
  repositoryId: z.string().regex(/^[0-9a-f]{32}$/),
  keyId: z.string().regex(/^[0-9a-f]{32}$/),
  createdAt: z.string(),
  encryption: z.enum(["aes-256-gcm", "none"]),
  /** Names of features; a program that does not know one of a list must not do that operation. */
  features: z.object({
    read: z.array(z.string()),
    write: z.array(z.string()),
    delete: z.array(z.string()),
  }),
});

export type RepositoryDescriptor = z.infer<typeof descriptorSchema>;

const foreignOrNewerSchema = z.object({
  magic: z.literal("holdfast-repository"),
  formatVersion: z.number().int(),
});

export function newDescriptor(options: {
  readonly repositoryId: string;
  readonly keyId: string;
  readonly createdAt: Date;
  readonly encryption: RepositoryDescriptor["encryption"];
}): RepositoryDescriptor {
  return {
    magic: "holdfast-repository",
    formatVersion: FORMAT_VERSION,
    repositoryId: options.repositoryId,
    keyId: options.keyId,
    createdAt: options.createdAt.toISOString(),
    encryption: options.encryption,
    features: { read: [...FEATURES_OF_FORMAT_1], write: [], delete: [] },
  };
}

/** JSON whose last member is the tag over all bytes before it. */
export function encodeDescriptor(
  descriptor: RepositoryDescriptor,
  repositoryKey: Uint8Array,
): Buffer {
  return encodeTaggedJson(descriptor, descriptorKeyOf(repositoryKey));
}

/**
 * Reads `repo.json` without checking its tag (the key is not open yet). Throws `NotARepository`
 * for a foreign object and `RepositoryTooNew` for a later format.
 */
export function decodeDescriptor(bytes: Uint8Array): RepositoryDescriptor {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw notARepository("it holds no JSON", cause);
  }
  const head = foreignOrNewerSchema.safeParse(json);
  if (!head.success) throw notARepository("its magic is missing");
  if (head.data.formatVersion !== FORMAT_VERSION) {
    throw new HoldfastError(
      "RepositoryTooNew",
      `The repository has format ${head.data.formatVersion}; this program understands format ` +
        `${FORMAT_VERSION}. Use a newer version of the program.`,
    );
  }
  const descriptor = descriptorSchema.safeParse(json);
  if (descriptor.success) return descriptor.data;
  throw damaged(`${objectNames.descriptor} is not understood`, {}, descriptor.error);
}

function notARepository(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "NotARepository",
    `The object ${objectNames.descriptor} in this folder does not belong to a repository: ${why}. ` +
      "Choose another folder; nothing was changed.",
    cause === undefined ? {} : { cause },
  );
}

/** Throws `RepositoryDamaged` when the descriptor was edited. */
export function verifyDescriptor(bytes: Uint8Array, repositoryKey: Uint8Array): void {
  if (isTaggedBy(descriptorKeyOf(repositoryKey), bytes)) return;
  throw damaged(`the tag of ${objectNames.descriptor} does not fit`);
}

/** Refuses an operation when the repository uses a feature that this program does not know. */
export function requireFeatures(
  descriptor: RepositoryDescriptor,
  operation: RepositoryOperation,
): void {
  const needed: readonly RepositoryOperation[] =
    operation === "read"
      ? ["read"]
      : operation === "write"
        ? ["read", "write"]
        : ["read", "write", "delete"];
  for (const list of needed) {
    const unknown = descriptor.features[list].find((name) => !KNOWN_FEATURES[list].has(name));
    if (unknown === undefined) continue;
    throw new HoldfastError(
      "RepositoryFeatureUnknown",
      `The repository uses the feature "${unknown}", which this program does not know; it must ` +
        `not ${operation} here. Use a newer version of the program.`,
    );
  }
}
