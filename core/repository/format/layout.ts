/**
 * Names, magics and limits of repository format 1. `docs/repository-format.md` is normative; a
 * change here without a change there is a bug.
 */
import { HoldfastError } from "../../lib/errors.ts";

export const FORMAT_VERSION = 1;

/** Six letters, a zero byte and the format version: the first eight bytes of every binary object. */
export const MAGICS = {
  pack: "HFPACK\0\u0001",
  index: "HFINDX\0\u0001",
  manifest: "HFMANI\0\u0001",
  frame: "HFFRAM\0\u0001",
  end: "HFENDO\0\u0001",
} as const;

export const ID_BYTES = 16;
export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const HASH_BYTES = 16;
export const HEADER_BYTES = 64;

/** Blocks that one leaf of the block map describes; fixed in format 1. */
export const LEAF_BLOCKS = 1024;
export const MIN_BLOCK_BYTES = 4 * 1024;
export const MAX_BLOCK_BYTES = 4 * 1024 * 1024;
/** Content of a frame, whatever the number of its blocks. */
export const MAX_FRAME_RAW_BYTES = 4 * 1024 * 1024;
/** Data keys that one manifest may list; a disk gets one more with each rotation. */
export const DATA_KEYS_MAX = 1000;
/** Azure's largest managed disk is 64 TiB (Ultra, Premium v2); four times that still fits the map. */
export const MAX_DISK_BYTES = 256 * 1024 ** 4;

/** Bounds on what a decoder allocates before it has verified anything. */
export const MAX_MANIFEST_BYTES = 64 * 1024 * 1024;
/** An envelope of that much JSON: what does not shrink grows by less than 1 MiB. */
export const MAX_ENVELOPE_BYTES = MAX_MANIFEST_BYTES + 1024 * 1024;
export const MAX_DESCRIPTOR_BYTES = 64 * 1024;
export const MAX_ROOT_BYTES = 256 * 1024 * 1024;
export const MAX_LEAF_BYTES = 1024 * 1024;
export const MAX_FOOTER_BYTES = 64 * 1024 * 1024;

const SAFE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Refuses what cannot be a path segment on every store (blob container, local folder). */
export function requireSafeName(
  kind: "VM id" | "disk id" | "point id" | "archive id" | "retrieval id",
  name: string,
): string {
  if (SAFE_NAME.test(name)) return name;
  throw new HoldfastError(
    "InvalidRepositoryName",
    `The ${kind} ${JSON.stringify(name)} cannot name a repository object. ` +
      "Use 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit.",
  );
}

function sequenceText(sequence: number): string {
  return String(sequence).padStart(10, "0");
}

function partsPrefix(diskId: string, sequence: number): string {
  return `disks/${diskId}/attempts/${sequenceText(sequence)}-part-`;
}

/** Which part of which point to come. */
export interface DiskPartName {
  readonly sequence: number;
  readonly firstLeaf: number;
  /** The first leaf behind the part. */
  readonly endLeaf: number;
  readonly pointId: string;
}

/** Relative names of all objects; every one is written once and never changed. */
export const objectNames = {
  descriptor: "repo.json",
  readme: "README.txt",
  keys: "keys/",
  /** Held while slots are added or removed, or the repository key is rotated. */
  keysLock: "keys/lock",
  keySlots: (keyId: string): string => `keys/${keyId}/`,
  keySlot: (keyId: string, slotId: string): string => `keys/${keyId}/${slotId}.json`,
  /** The former keys, sealed by this one: makes it the current key. */
  keyRewrap: (keyId: string): string => `keys/${keyId}/rewrap.manifest`,
  /** The first four bytes of a pack id are the sequence number of the point that wrote it. */
  pack: (diskId: string, packId: string): string =>
    `disks/${diskId}/packs/${packId.slice(0, 8)}/${packId}.pack`,
  packsOf: (diskId: string, sequence: number): string =>
    `disks/${diskId}/packs/${sequence.toString(16).padStart(8, "0")}/`,
  indexesOf: (diskId: string, sequence: number): string =>
    `disks/${diskId}/indexes/${sequence.toString(16).padStart(8, "0")}`,
  index: (diskId: string, indexId: string): string => `disks/${diskId}/indexes/${indexId}.index`,
  attempt: (diskId: string, sequence: number): string =>
    `disks/${diskId}/attempts/${sequenceText(sequence)}.manifest`,
  /** Record of a *disk part*, one range of leaves that one worker read for a point to come. */
  diskPart: (diskId: string, part: DiskPartName): string => {
    const { sequence, firstLeaf, endLeaf, pointId } = part;
    const leaves = `${sequenceText(firstLeaf)}-${sequenceText(endLeaf)}`;
    return `${partsPrefix(diskId, sequence)}${leaves}-${pointId}.manifest`;
  },
  diskParts: partsPrefix,
  diskPoints: (diskId: string): string => `disks/${diskId}/points/`,
  diskPoint: (diskId: string, sequence: number): string =>
    `disks/${diskId}/points/${sequenceText(sequence)}.manifest`,
  /** A storage lock: who holds it writes points of the disk, or collects its garbage. */
  diskLock: (diskId: string): string => `disks/${diskId}/lock`,
  packs: (diskId: string): string => `disks/${diskId}/packs/`,
  indexes: (diskId: string): string => `disks/${diskId}/indexes/`,
  attempts: (diskId: string): string => `disks/${diskId}/attempts/`,
  garbageLists: (diskId: string): string => `disks/${diskId}/garbage/`,
  garbageList: (diskId: string, number: number): string =>
    `disks/${diskId}/garbage/${sequenceText(number)}.manifest`,
  vmPoints: (vmId: string): string => `vms/${vmId}/points/`,
  vmPoint: (vmId: string, pointId: string): string => `vms/${vmId}/points/${pointId}.manifest`,
  archives: (vmId: string): string => `archives/${vmId}/`,
  /** A storage lock: who holds it writes or deletes archives of the VM. */
  archivesLock: (vmId: string): string => `archives/${vmId}/lock`,
  /** Below it packs and indexes have the names that they would have in a repository of their own. */
  archiveFolder: (vmId: string, archiveId: string): string => `archives/${vmId}/${archiveId}/`,
  archive: (vmId: string, archiveId: string): string =>
    `archives/${vmId}/${archiveId}/archive.manifest`,
  retrievalFolder: (retrievalId: string): string => `retrievals/${retrievalId}/`,
  retrieval: (retrievalId: string): string => `retrievals/${retrievalId}/retrieval.manifest`,
  /** What health checks found damaged of a disk. */
  quarantines: (diskId: string): string => `quarantine/${diskId}/`,
  quarantine: (diskId: string, quarantineId: string): string =>
    `quarantine/${diskId}/${quarantineId}.manifest`,
} as const;

/** The error of every decoder: stored bytes are not what the format says. */
export function damaged(
  what: string,
  context: Readonly<Record<string, string | number | boolean>> = {},
  cause?: unknown,
): HoldfastError {
  const place = Object.entries(context).map(([key, value]) => `${key} ${value}`);
  return new HoldfastError(
    "RepositoryDamaged",
    `The repository is damaged: ${what}${place.length > 0 ? ` (${place.join(", ")})` : ""}. ` +
      "Run a health check; other restore points may be intact.",
    cause === undefined ? { context } : { context, cause },
  );
}

export function requireIntact(condition: boolean, what: string): asserts condition {
  if (!condition) throw damaged(what);
}
