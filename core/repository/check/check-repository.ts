/**
 * The *health check*: is everything there that restore points need, and can it be read? Levels
 * build on each other:
 *
 * - `presence`: manifests of VMs, disks and archives and their roots are read; every pack and index
 *   that a root names is in the store's listing with the right size. Foreign names are told.
 * - `metadata`: also attempts, quarantine records, key slots, leaves (and whether they point into
 *   their packs), headers and footers.
 * - `sample`, `complete`: also blocks, a share of them or all: tag, length and keyed hash.
 *
 * Packs in the archive tier cannot be read: of them presence and size are looked at.
 *
 * A *finding* never ends the check: what can be looked at beyond it is looked at. Errors that are
 * thrown are those of the way to the store. The check deletes nothing, and writes nothing but, when
 * asked to, *quarantine* records that keep the next backup from building on what is damaged.
 *
 * Memory: about 300 bytes for each restore point and its disks, 250 bytes for each pack and index of
 * one disk, the root of one point, and 64 MiB of blocks under way.
 */
import { codeOf } from "../../lib/errors.ts";
import { inlineBlockCodec } from "../codec/block-codec.ts";
import { decodeDescriptor, requireFeatures, verifyDescriptor } from "../format/descriptor.ts";
import { MAX_DESCRIPTOR_BYTES, objectNames } from "../format/layout.ts";
import { readQuarantine, recordQuarantine } from "../quarantine.ts";
import { readWhole } from "../read-whole.ts";
import { descriptorKey } from "../repository-key.ts";
import type { Repository } from "../repository.ts";
import type {
  CheckProgress,
  CheckReport,
  CheckRepositoryOptions,
  ContentLevel,
  RepositoryCheck,
} from "./check-context.ts";
import { checkArchives, checkRetrievals } from "./check-archives.ts";
import { checkDisk, type CheckedDisk } from "./check-disk.ts";
import { checkKeySlots } from "./check-key-slots.ts";
import { checkDiskRecords } from "./check-records.ts";
import { FindingList, reasonsOf } from "./findings.ts";
import { diskIdOf, isKnownName } from "./known-names.ts";
import { reportDisk } from "./report-disk.ts";
import { readVmReferences } from "./vm-references.ts";

/** Where a feature of `write` is unknown it checks and records nothing. */
export async function checkRepository(
  repository: Repository,
  options: CheckRepositoryOptions,
  signal: AbortSignal,
): Promise<CheckReport> {
  requireFeatures(repository.descriptor, "read");
  const findings = new FindingList();
  const progress: CheckProgress = {
    checkedObjects: 0,
    checkedPoints: 0,
    verifiedBlocks: 0,
    readBytes: 0,
    tell: () => options.onProgress?.(progress),
  };
  const level = levelOf(options);
  const check = { repository, options, level, findings, progress, signal };
  await checkDescriptor(check);
  if (level.kind !== "presence") await checkKeySlots(check);
  const references = await readVmReferences(check);
  const diskIds = new Set(references.keys());
  for (const prefix of prefixesOf(options.vmIds, diskIds)) {
    for await (const { name } of repository.store.list(prefix, signal)) {
      const diskId = isKnownName(name) ? diskIdOf(name) : reportForeign(findings, name);
      if (diskId !== undefined && options.vmIds === undefined) diskIds.add(diskId);
    }
  }
  for (const diskId of diskIds) {
    const checked = await checkDisk(repository, diskId, level, progress, signal);
    await reportDisk(check, diskId, checked, references.get(diskId) ?? []);
    if (level.kind !== "presence") await checkDiskRecords(check, diskId);
    await quarantine(check, diskId, checked);
  }
  await checkArchives(check);
  await checkRetrievals(check);
  const { checkedObjects, checkedPoints, verifiedBlocks, readBytes } = progress;
  const counts = { checkedObjects, checkedPoints, verifiedBlocks, readBytes };
  const { count: findingCount, kept, affectedPoints } = findings;
  return { level: options.level, ...counts, findingCount, findings: kept, affectedPoints };
}

function levelOf({ level, samplePercent, random, codec }: CheckRepositoryOptions): ContentLevel {
  const limit = (samplePercent / 100) * 2 ** 32;
  return {
    kind: level,
    codec: codec ?? inlineBlockCodec,
    choose: (count) => {
      const dice = Buffer.from(random(count * 4));
      return Array.from({ length: count }, (_, each) => dice.readUInt32LE(each * 4) < limit);
    },
  };
}

function prefixesOf(vmIds: readonly string[] | undefined, diskIds: Iterable<string>): string[] {
  if (vmIds === undefined) return [""];
  const ofVms = vmIds.flatMap((id) => [`vms/${id}/`, `archives/${id}/`]);
  return [...[...diskIds].map((id) => `disks/${id}/`), ...ofVms];
}

function reportForeign(findings: FindingList, name: string): undefined {
  const message = "The object belongs to no part of a repository. It was left alone.";
  findings.add({ kind: "foreign", object: name, affectedPoints: [], message });
}

/** It was read when the repository was opened; it may have been damaged or lost since. */
async function checkDescriptor({ repository, findings, progress, signal }: RepositoryCheck) {
  const object = objectNames.descriptor;
  progress.checkedObjects++;
  try {
    const bytes = await readWhole(repository.store, object, MAX_DESCRIPTOR_BYTES, signal);
    decodeDescriptor(bytes);
    verifyDescriptor(bytes, descriptorKey(repository.descriptor, repository.key));
  } catch (error) {
    const isGone = (await repository.store.readProperties(object, signal)) === undefined;
    findings.add({
      kind: isGone ? "missing" : "unreadable-metadata",
      object,
      affectedPoints: [],
      message: `No restore point can be opened until it is restored from a copy. ${reasonsOf(error)}`,
    });
  }
}

/** Only what is not on record yet, so that a repeated check adds nothing. */
async function quarantine(check: RepositoryCheck, diskId: string, { damage }: CheckedDisk) {
  const { repository, options, signal } = check;
  const record = options.quarantine;
  const found = [...damage.objects()];
  if (record === undefined || found.length === 0 || !mayWrite(repository)) return;
  const known = await readQuarantine(repository, diskId, signal);
  const fresh = found.flatMap(({ kind, id, frames }) => {
    const left = known.missingFrom(kind, id, frames);
    return left === "none" ? [] : [{ kind, id, frames: left }];
  });
  if (fresh.length === 0) return;
  const details = { diskId, foundAt: record.now, foundBy: record.foundBy, level: options.level };
  await recordQuarantine(repository, { ...details, objects: fresh }, options.random, signal);
}

function mayWrite({ descriptor }: Repository): boolean {
  try {
    requireFeatures(descriptor, "write");
    return true;
  } catch (error) {
    if (codeOf(error) !== "RepositoryFeatureUnknown") throw error;
    return false;
  }
}
