/** VM restore points: one manifest that names a disk point per disk. All or nothing. */
import type { z } from "zod";
import { HoldfastError, codeOf } from "../lib/errors.ts";
import { requireFeatures } from "./format/descriptor.ts";
import { openEnvelope, sealEnvelope } from "./format/envelope.ts";
import { ID_BYTES, damaged, objectNames, requireSafeName } from "./format/layout.ts";
import { parseManifest, vmPointSchema, type VmPoint } from "./format/manifests.ts";
import { createOptionsOf, requireImmutability } from "./immutability.ts";
import type { Repository } from "./repository.ts";
import { readManifestObject } from "./read-whole.ts";

export interface CommitVmPointOptions {
  readonly vmId: string;
  readonly pointId: string;
  /** When the snapshots were taken. */
  readonly takenAt: Date;
  /** Full configuration of the VM, opaque here. */
  readonly vm: z.core.util.JSONType;
  readonly disks: VmPoint["disks"];
  readonly random: (byteCount: number) => Uint8Array;
  readonly now: () => Date;
  /** When the point expires: nobody can delete its manifest before. Rounded up to ten days. */
  readonly immutableUntil?: Date;
}

/**
 * Commits a restore point of a VM. All disk points must be committed before. Committing an id
 * again returns the point that is there, untouched.
 */
export async function commitVmPoint(
  repository: Repository,
  options: CommitVmPointOptions,
  signal: AbortSignal,
): Promise<VmPoint> {
  requireFeatures(repository.descriptor, "write");
  const { vmId, pointId } = options;
  const name = vmPointName(vmId, pointId);
  const { store } = repository;
  const immutability = await requireImmutability(store, options.immutableUntil, signal);
  const point: VmPoint = {
    format: 1,
    vmId,
    pointId,
    takenAt: options.takenAt.toISOString(),
    committedAt: options.now().toISOString(),
    vm: options.vm,
    disks: options.disks,
  };
  const objectId = options.random(ID_BYTES);
  const envelope = { kind: "vmPoint", name, objectId, document: point } as const;
  const body = sealEnvelope(repository.key, envelope);
  const created = await store.create(name, body, signal, createOptionsOf(immutability));
  if (created === "created") return point;
  return readVmPoint(repository, vmId, pointId, signal);
}

function vmPointName(vmId: string, pointId: string): string {
  return objectNames.vmPoint(requireSafeName("VM id", vmId), requireSafeName("point id", pointId));
}

/** Throws `VmPointNotFound` or `RepositoryDamaged`. */
export async function readVmPoint(
  repository: Repository,
  vmId: string,
  pointId: string,
  signal: AbortSignal,
): Promise<VmPoint> {
  const name = vmPointName(vmId, pointId);
  let bytes: Uint8Array;
  try {
    bytes = await readManifestObject(repository.store, name, signal);
  } catch (cause) {
    if (codeOf(cause) !== "BlobNotFound") throw cause;
    throw new HoldfastError(
      "VmPointNotFound",
      `The restore point ${pointId} of VM ${vmId} is not in the repository.`,
      { context: { vmId, pointId }, cause },
    );
  }
  const { document } = openEnvelope(repository.key, "vmPoint", name, bytes);
  const point = parseManifest(vmPointSchema, name, document);
  if (point.vmId !== vmId || point.pointId !== pointId) {
    throw damaged(`the manifest ${name} describes another point`);
  }
  return point;
}

export interface ListedVmPoint {
  readonly vmId: string;
  readonly pointId: string;
}

const VM_POINT_NAME = /^vms\/([^/]+)\/points\/([^/]+)\.manifest$/;

/** Names of all VM points, of one VM or of all. Reads no manifest: pass each to `readVmPoint`. */
export async function* listVmPoints(
  repository: Repository,
  vmId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<ListedVmPoint> {
  const prefix = vmId === undefined ? "vms/" : objectNames.vmPoints(requireSafeName("VM id", vmId));
  for await (const blob of repository.store.list(prefix, signal)) {
    const match = VM_POINT_NAME.exec(blob.name);
    const [, foundVmId, pointId] = match ?? [];
    if (foundVmId !== undefined && pointId !== undefined) yield { vmId: foundVmId, pointId };
  }
}
