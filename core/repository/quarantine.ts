/**
 * *Quarantine*: what a health check found damaged of a disk, written once and kept. Writers refer to
 * nothing that is listed: the next backup reads those blocks from the disk and stores them again,
 * so later points are whole. Readers do not ask: they verify every block anyway and name what fails,
 * and an object that was restored from a copy is good again for them.
 */
import { codeOf } from "../lib/errors.ts";
import { openEnvelope, sealEnvelope } from "./format/envelope.ts";
import { ID_BYTES, damaged, objectNames, requireSafeName } from "./format/layout.ts";
import { QUARANTINE_FRAMES_MAX, parseManifest, quarantineSchema } from "./format/manifests.ts";
import type { Repository } from "./repository.ts";
import { readManifestObject } from "./read-whole.ts";

type QuarantinedKind = "pack" | "index";
type Frames = "all" | ReadonlySet<number>;

export interface QuarantinedObject {
  readonly kind: QuarantinedKind;
  readonly id: string;
  readonly frames: Frames;
}

export class Quarantine {
  readonly #frames = new Map<string, "all" | Set<number>>();

  add({ kind, id, frames }: QuarantinedObject): void {
    const key = `${kind}/${id}`;
    const known = this.#frames.get(key) ?? new Set();
    if (known === "all") return;
    if (frames === "all") this.#frames.set(key, "all");
    else this.#frames.set(key, new Set([...known, ...frames]));
  }

  get isEmpty(): boolean {
    return this.#frames.size === 0;
  }

  hasAnyOf(kind: QuarantinedKind, ids: Iterable<string>): boolean {
    for (const id of ids) if (this.#frames.has(`${kind}/${id}`)) return true;
    return false;
  }

  holds(kind: QuarantinedKind, id: string, frameNumber: number): boolean {
    const frames = this.#frames.get(`${kind}/${id}`);
    return frames === "all" || (frames?.has(frameNumber) ?? false);
  }

  /** What of this is not on record yet. */
  missingFrom(kind: QuarantinedKind, id: string, frames: Frames): Frames | "none" {
    const known = this.#frames.get(`${kind}/${id}`);
    if (known === "all") return "none";
    if (known === undefined || frames === "all") return frames;
    const left = new Set([...frames].filter((frameNumber) => !known.has(frameNumber)));
    return left.size === 0 ? "none" : left;
  }
}

/** Newest records first would not help: all are read. A check adds one only for new damage. */
const RECORDS_MAX = 10_000;

/** Everything on record for a disk. A damaged record is left out: a health check names it. */
export async function readQuarantine(
  repository: Repository,
  diskId: string,
  signal: AbortSignal,
): Promise<Quarantine> {
  const quarantine = new Quarantine();
  let recordCount = 0;
  for await (const { name } of repository.store.list(objectNames.quarantines(diskId), signal)) {
    if (++recordCount > RECORDS_MAX) break;
    try {
      const record = await readQuarantineRecord(repository, diskId, name, signal);
      for (const { kind, id, frames } of record.objects) {
        quarantine.add({ kind, id, frames: frames === null ? "all" : new Set(frames) });
      }
    } catch (error) {
      const code = codeOf(error);
      if (code !== "RepositoryDamaged" && code !== "BlobNotFound") throw error;
    }
  }
  return quarantine;
}

/** Throws `RepositoryDamaged`. */
export async function readQuarantineRecord(
  repository: Repository,
  diskId: string,
  name: string,
  signal: AbortSignal,
) {
  const bytes = await readManifestObject(repository.store, name, signal);
  const { document } = openEnvelope(repository.key, "quarantine", name, bytes);
  const record = parseManifest(quarantineSchema, name, document);
  if (record.diskId !== diskId) throw damaged(`the record ${name} belongs to another disk`);
  return record;
}

export interface QuarantineDetails {
  readonly diskId: string;
  readonly foundAt: Date;
  readonly foundBy: string;
  readonly level: string;
  readonly objects: readonly QuarantinedObject[];
}

/** Writes what was found, in as many records as it takes. */
export async function recordQuarantine(
  repository: Repository,
  details: QuarantineDetails,
  random: (byteCount: number) => Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const diskId = requireSafeName("disk id", details.diskId);
  for (const objects of recordsOf(details.objects)) {
    const objectId = random(ID_BYTES);
    const name = objectNames.quarantine(diskId, Buffer.from(objectId).toString("hex"));
    const { foundAt, foundBy, level } = details;
    const document = { format: 1, diskId, foundAt: foundAt.toISOString(), foundBy, level, objects };
    const body = sealEnvelope(repository.key, { kind: "quarantine", name, objectId, document });
    await repository.store.create(name, body, signal);
  }
}

type RecordLine = { readonly kind: string; readonly id: string; readonly frames: number[] | null };

function* recordsOf(objects: readonly QuarantinedObject[]): Generator<RecordLine[]> {
  let lines: RecordLine[] = [];
  let weight = 0;
  for (const { kind, id, frames } of objects) {
    const numbers = frames === "all" ? null : [...frames].sort((left, right) => left - right);
    const due = numbers === null || numbers.length <= QUARANTINE_FRAMES_MAX ? numbers : null;
    const lineWeight = 1 + (due?.length ?? 0);
    if (lines.length > 0 && weight + lineWeight > QUARANTINE_FRAMES_MAX) {
      yield lines;
      lines = [];
      weight = 0;
    }
    lines.push({ kind, id, frames: due });
    weight += lineWeight;
  }
  if (lines.length > 0) yield lines;
}
