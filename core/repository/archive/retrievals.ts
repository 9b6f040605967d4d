/**
 * Retrievals: copies of an archive's packs in an online tier, under `retrievals/<retrievalId>/`. A
 * small record, written first, says of which archive. Starting one again starts what is missing.
 */
import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { mapBounded } from "../../lib/bounded-pool.ts";
import { HoldfastError, codeOf } from "../../lib/errors.ts";
import type { OnlineTier, StoredBlob } from "../../ports/blob-store.ts";
import { asDamage } from "../block-map.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { openEnvelope, sealEnvelope } from "../format/envelope.ts";
import { ID_BYTES, damaged, objectNames, requireSafeName } from "../format/layout.ts";
import { parseManifest } from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import { retrievalSchema } from "./archive-manifests.ts";
import {
  archiveFolderOf,
  listArchiveObjects,
  openArchive,
  type ArchiveName,
  type OpenArchive,
} from "./archives.ts";
import { deleteAll, listFolder, type DeletedObjects } from "./leftovers.ts";
import { readManifestObject } from "../read-whole.ts";

const COPIES_STARTED_AT_ONCE = 16;

export type Retrieval = z.infer<typeof retrievalSchema>;

export interface RetrievalState {
  readonly retrieval: Retrieval;
  /** Packs that are needed, and what they hold. */
  readonly objectCount: number;
  readonly storedBytes: number;
  /** Copies that can be read. */
  readonly readyObjects: number;
  readonly readyBytes: number;
  /** Copies that are under way. */
  readonly pendingObjects: number;
  /** Copies that were never started, or failed: start the retrieval again. */
  readonly missingObjects: number;
}

export interface StartRetrievalOptions extends ArchiveName {
  readonly retrievalId: string;
  /** Only packs of these disks are copied. */
  readonly diskIds: readonly string[];
  readonly tier: OnlineTier;
  readonly priority: "standard" | "high";
  readonly random: (byteCount: number) => Uint8Array;
  readonly now: () => Date;
}

/**
 * Starts copies of the packs of some disks out of the archive tier; they take hours. Doing it again
 * starts what is missing and tells how far the others are. It needs no lock: it creates only what its
 * id names, each object if absent, and deletes only copies that can never come.
 *
 * Errors: `ArchiveNotFound`, `DiskNotInArchive`, `RetrievalExists` (the id names another retrieval),
 * `RepositoryDamaged`.
 */
export async function startRetrieval(
  repository: Repository,
  options: StartRetrievalOptions,
  signal: AbortSignal,
): Promise<RetrievalState> {
  requireFeatures(repository.descriptor, "write");
  const open = await openArchive(repository, options, signal);
  for (const diskId of options.diskIds) requireDisk(open, diskId);
  const retrieval = await recordRetrieval(repository, options, signal);
  try {
    await startCopies(repository, open, retrieval, signal);
    return stateOf(retrieval, await listCopies(repository, open, retrieval, signal));
  } catch (cause) {
    // What is missing may be missing because the archive was deleted meanwhile.
    if (codeOf(cause) === "RepositoryDamaged") await openArchive(repository, options, signal);
    throw cause;
  }
}

async function startCopies(
  repository: Repository,
  open: OpenArchive,
  retrieval: Retrieval,
  signal: AbortSignal,
): Promise<void> {
  const { store } = repository;
  const copies = await listCopies(repository, open, retrieval, signal);
  const missing = copies.filter(({ state }) => state === "missing");
  const folder = archiveFolderOf(open.archive);
  const { tier, priority } = retrieval;
  await mapBounded(missing, COPIES_STARTED_AT_ONCE, async ({ name, copyName, found }) => {
    // A copy that failed lies there and would never come.
    if (found !== undefined) {
      requireFeatures(repository.descriptor, "delete");
      await store.delete(copyName, signal);
    }
    try {
      await store.startRetrieval(folder + name, copyName, { tier, priority }, signal);
    } catch (cause) {
      throw asDamage(cause, "an archive has lost a pack", folder + name);
    }
  });
}

/** Throws `RetrievalNotFound`, `ArchiveNotFound`, `RepositoryDamaged`. */
export async function readRetrieval(
  repository: Repository,
  retrievalId: string,
  signal: AbortSignal,
): Promise<RetrievalState> {
  const retrieval = await readRetrievalRecord(repository, retrievalId, signal);
  const open = await openArchive(repository, retrieval, signal);
  return stateOf(retrieval, await listCopies(repository, open, retrieval, signal));
}

/** Deletes the record and all copies. The archive stays. Safe to repeat. */
export async function deleteRetrieval(
  repository: Repository,
  retrievalId: string,
  signal: AbortSignal,
): Promise<DeletedObjects> {
  requireFeatures(repository.descriptor, "delete");
  const name = recordNameOf(retrievalId);
  const found = await listFolder(repository, objectNames.retrievalFolder(retrievalId), signal);
  const first = await deleteAll(
    repository,
    found.filter((blob) => blob.name === name),
    signal,
  );
  const rest = await deleteAll(
    repository,
    found.filter((blob) => blob.name !== name),
    signal,
  );
  return {
    deletedObjects: first.deletedObjects + rest.deletedObjects,
    deletedBytes: first.deletedBytes + rest.deletedBytes,
    immutableObjects: first.immutableObjects + rest.immutableObjects,
  };
}

export async function readRetrievalRecord(
  repository: Repository,
  retrievalId: string,
  signal: AbortSignal,
): Promise<Retrieval> {
  const name = recordNameOf(retrievalId);
  let bytes: Uint8Array;
  try {
    bytes = await readManifestObject(repository.store, name, signal);
  } catch (cause) {
    if (codeOf(cause) !== "BlobNotFound") throw cause;
    throw new HoldfastError(
      "RetrievalNotFound",
      `The retrieval ${retrievalId} is not in the repository. It may be over; start a new one.`,
      { context: { retrievalId }, cause },
    );
  }
  const { document } = openEnvelope(repository.key, "retrieval", name, bytes);
  const retrieval = parseManifest(retrievalSchema, name, document);
  if (retrieval.retrievalId === retrievalId) return retrieval;
  throw damaged(`the manifest ${name} describes another retrieval`);
}

function recordNameOf(retrievalId: string): string {
  return objectNames.retrieval(requireSafeName("retrieval id", retrievalId));
}

export function requireDisk({ archive }: OpenArchive, diskId: string): number {
  const position = archive.disks.findIndex(({ image }) => image.diskId === diskId);
  if (position >= 0) return position;
  const { vmId, archiveId } = archive;
  throw new HoldfastError(
    "DiskNotInArchive",
    `The archive ${archiveId} of VM ${vmId} holds no disk ${diskId}.`,
    { context: { vmId, archiveId, diskId } },
  );
}

async function recordRetrieval(
  repository: Repository,
  options: StartRetrievalOptions,
  signal: AbortSignal,
): Promise<Retrieval> {
  const { retrievalId, vmId, archiveId, tier, priority } = options;
  const name = recordNameOf(retrievalId);
  const retrieval: Retrieval = {
    format: 1,
    retrievalId,
    vmId,
    archiveId,
    diskIds: [...new Set(options.diskIds)].sort(),
    tier,
    priority,
    startedAt: options.now().toISOString(),
  };
  const objectId = options.random(ID_BYTES);
  const envelope = { kind: "retrieval", name, objectId, document: retrieval } as const;
  const body = sealEnvelope(repository.key, envelope);
  if ((await repository.store.create(name, body, signal)) === "created") return retrieval;
  const recorded = await readRetrievalRecord(repository, retrievalId, signal);
  const { startedAt } = recorded;
  if (isDeepStrictEqual(recorded, { ...retrieval, startedAt })) return recorded;
  throw new HoldfastError(
    "RetrievalExists",
    `The retrieval ${retrievalId} is there already, of another archive, other disks, or with another tier or priority. Choose another id.`,
    { context: { retrievalId } },
  );
}

interface PackCopyState {
  /** In the archive's folder. */
  readonly name: string;
  readonly copyName: string;
  readonly sizeBytes: number;
  readonly found: StoredBlob | undefined;
  readonly state: "ready" | "pending" | "missing";
}

async function listCopies(
  repository: Repository,
  open: OpenArchive,
  { retrievalId, diskIds }: Retrieval,
  signal: AbortSignal,
): Promise<PackCopyState[]> {
  const folder = objectNames.retrievalFolder(retrievalId);
  const blobs = await listFolder(repository, folder, signal);
  const found = new Map(blobs.map((blob) => [blob.name, blob]));
  const wanted = new Set(diskIds);
  const points = open.points.filter(({ manifest }) => wanted.has(manifest.diskId));
  const copies: PackCopyState[] = [];
  const objects = listArchiveObjects(repository, { ...open, points }, signal);
  for await (const { kind, name, sizeBytes = 0 } of objects) {
    if (kind !== "pack") continue;
    const copyName = folder + name;
    const blob = found.get(copyName);
    copies.push({ name, copyName, sizeBytes, found: blob, state: stateOfCopy(blob, sizeBytes) });
  }
  return copies;
}

function stateOfCopy(blob: StoredBlob | undefined, sizeBytes: number): PackCopyState["state"] {
  if (blob === undefined) return "missing";
  if (blob.rehydratingTo !== undefined) return "pending";
  return blob.tier === "archive" || blob.sizeBytes !== sizeBytes ? "missing" : "ready";
}

function stateOf(retrieval: Retrieval, copies: readonly PackCopyState[]): RetrievalState {
  const inState = (state: PackCopyState["state"]) => copies.filter((copy) => copy.state === state);
  const bytesOf = (some: readonly PackCopyState[]) =>
    some.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return {
    retrieval,
    objectCount: copies.length,
    storedBytes: bytesOf(copies),
    readyObjects: inState("ready").length,
    readyBytes: bytesOf(inState("ready")),
    pendingObjects: inState("pending").length,
    missingObjects: inState("missing").length,
  };
}
