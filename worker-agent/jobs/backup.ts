/**
 * Backup of one VM: all its disks into disk points, then the VM point, which makes the restore point
 * visible. Doing the same job again finds what was committed and moves only what is missing.
 */
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { codeOf, messageOf } from "#core/lib/errors.ts";
import type { BackupDiskTask, BackupJob } from "#core/protocol/job.ts";
import type { BackupDiskResult, JobResult } from "#core/protocol/worker-event.ts";
import {
  commitVmPoint,
  createRepository,
  joinDiskParts,
  readDiskPoint,
  readReferencedDiskPoint,
  readVmPoint,
  type DiskPointReference,
  type DiskPointStats,
  type Repository,
  type VmPoint,
} from "#core/repository/index.ts";
import type { BackedUpDisk } from "../data-mover/data-mover.ts";
import type { ProgressBoard } from "../progress-board.ts";
import {
  immutableUntilOf,
  PARALLEL_DISKS_MAX,
  requireSize,
  secretOf,
  type JobTools,
  type Mover,
} from "./job-tools.ts";
import { trackPosition } from "./position-tracker.ts";

export async function runBackup(
  tools: JobTools,
  job: BackupJob,
  board: ProgressBoard,
  signal: AbortSignal,
): Promise<JobResult> {
  const repository = await createRepository(
    tools.openStore(job.repository),
    { encryption: secretOf(tools, job.repository), random: tools.random, now: tools.clock.now() },
    signal,
  );
  const committed = await findVmPoint(repository, job.vm.vmId, job.pointId, signal);
  if (committed !== undefined) return resultOfCommitted(repository, committed, signal);

  const parents = new ParentPoints(repository, job.vm.vmId, signal);
  const parallel = Math.min(PARALLEL_DISKS_MAX, job.disks.length);
  await using mover = tools.startMover(parallel);
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const moved = await mapBounded(job.disks, parallel, async (task) => {
    try {
      return await backUpDisk({ tools, job, repository, mover, parents, board }, task, inner);
    } catch (error) {
      // The point cannot be committed any more: the other disks need not be read to their end.
      stop.abort(error);
      throw error;
    }
  });
  await requireDiskPoints(repository, moved, signal);
  await commitVmPoint(
    repository,
    {
      vmId: job.vm.vmId,
      pointId: job.pointId,
      takenAt: new Date(job.takenAt),
      vm: jsonOf(job.vm),
      disks: moved.map(({ task, reference }) => ({
        lun: task.slot,
        sizeBytes: task.sizeBytes,
        diskPoint: reference,
      })),
      random: tools.random,
      now: () => tools.clock.now(),
      ...immutableUntilOf(job),
    },
    signal,
  );
  return { kind: "backup", pointId: job.pointId, disks: moved.map(({ result }) => result) };
}

/**
 * A dispatch that hung for days may find that its restore point was committed by another one and
 * has expired since, with its disk points: then it must not make a VM point that names them.
 */
async function requireDiskPoints(
  repository: Repository,
  moved: readonly MovedDisk[],
  signal: AbortSignal,
): Promise<void> {
  for (const { reference } of moved) await readReferencedDiskPoint(repository, reference, signal);
}

interface BackupContext {
  readonly tools: JobTools;
  readonly job: BackupJob;
  readonly repository: Repository;
  readonly mover: Mover;
  readonly parents: ParentPoints;
  readonly board: ProgressBoard;
}

interface MovedDisk {
  readonly task: BackupDiskTask;
  readonly reference: DiskPointReference;
  readonly result: BackupDiskResult;
}

async function backUpDisk(
  context: BackupContext,
  task: BackupDiskTask,
  signal: AbortSignal,
): Promise<MovedDisk> {
  if (task.parts === undefined) return readDisk(context, task, signal);
  try {
    return await joinParts(context, { ...task, parts: task.parts }, signal);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "DiskPartsUnusable" && code !== "InvalidDiskPart") throw error;
    const { result, ...moved } = await readDisk(context, task, signal);
    const warning = `${messageOf(error)} One worker has read all of it.`;
    return { ...moved, result: { ...result, warnings: [warning, ...result.warnings] } };
  }
}

/** Makes a point of what other workers have read of the disk. */
async function joinParts(
  { tools, job, repository, board }: BackupContext,
  task: BackupDiskTask & { readonly parts: NonNullable<BackupDiskTask["parts"]> },
  signal: AbortSignal,
): Promise<MovedDisk> {
  const startedMs = tools.clock.now().getTime();
  const { diskId, sizeBytes, parts } = task;
  const written = await joinDiskParts(
    repository,
    {
      diskId,
      pointId: job.pointId,
      sizeBytes,
      parts,
      random: tools.random,
      now: () => tools.clock.now(),
      wait: (durationMs, inner) => tools.clock.sleep(durationMs, inner),
      ...immutableUntilOf(job),
    },
    signal,
  );
  const { readBytes, storedBytes } = written.stats;
  board.set({ diskId, doneBytes: sizeBytes, totalBytes: sizeBytes, readBytes, storedBytes });
  const durationMs = tools.clock.now().getTime() - startedMs;
  const reason = written.alreadyCommitted ? "was committed before" : "no base to compare with";
  const result = { ...resultOf(written, reason, durationMs), partCount: parts.length };
  return { task, reference: written.reference, result };
}

async function readDisk(
  { tools, job, repository, mover, parents, board }: BackupContext,
  task: BackupDiskTask,
  signal: AbortSignal,
): Promise<MovedDisk> {
  const startedMs = tools.clock.now().getTime();
  const { diskId, sizeBytes, needsToken } = task;
  await using source = tools.diskData.openReader(task.sas, { needsToken });
  requireSize(task, await source.readSizeBytes(signal));
  const parent =
    task.base === undefined ? undefined : await parents.find(task.base.parentPointId, diskId);

  let stats: Pick<DiskPointStats, "readBytes" | "storedBytes"> = { readBytes: 0, storedBytes: 0 };
  const show = (doneBytes: number): void => {
    const { readBytes, storedBytes } = stats;
    board.set({ diskId, doneBytes, totalBytes: sizeBytes, readBytes, storedBytes });
  };
  const position = trackPosition(source, show);
  show(0);
  const written = await mover.backupDisk(
    {
      repository,
      diskId,
      pointId: job.pointId,
      reader: position.reader,
      sampleCount: job.unchangedSampleCount,
      wait: (durationMs, inner) => tools.clock.sleep(durationMs, inner),
      ...immutableUntilOf(job),
      ...(task.base !== undefined &&
        parent !== undefined && { since: { parent, previousSas: task.base.sas } }),
      onProgress: (news) => {
        stats = news;
        show(position.doneBytes());
      },
    },
    signal,
  );
  stats = written.stats;
  show(sizeBytes);
  const durationMs = tools.clock.now().getTime() - startedMs;
  const reason = reasonOf(task, parent, written);
  return { task, reference: written.reference, result: resultOf(written, reason, durationMs) };
}

/** VM points that incrementals build on, each read once. */
class ParentPoints {
  readonly #repository: Repository;
  readonly #vmId: string;
  readonly #signal: AbortSignal;
  readonly #known = new Map<string, Promise<VmPoint | undefined>>();

  constructor(repository: Repository, vmId: string, signal: AbortSignal) {
    this.#repository = repository;
    this.#vmId = vmId;
    this.#signal = signal;
  }

  /** Undefined when the point or the disk in it is not there (any more): then everything is read. */
  async find(pointId: string, diskId: string): Promise<DiskPointReference | undefined> {
    const reading =
      this.#known.get(pointId) ??
      findVmPoint(this.#repository, this.#vmId, pointId, this.#signal, "damaged-is-missing");
    this.#known.set(pointId, reading);
    const point = await reading;
    return point?.disks.find(({ diskPoint }) => diskPoint.diskId === diskId)?.diskPoint;
  }
}

async function findVmPoint(
  repository: Repository,
  vmId: string,
  pointId: string,
  signal: AbortSignal,
  damage: "damaged-is-missing" | "damaged-is-an-error" = "damaged-is-an-error",
): Promise<VmPoint | undefined> {
  try {
    return await readVmPoint(repository, vmId, pointId, signal);
  } catch (error) {
    const code = codeOf(error);
    if (code === "VmPointNotFound") return undefined;
    // A new full heals what a damaged parent would break.
    if (code === "RepositoryDamaged" && damage === "damaged-is-missing") return undefined;
    throw error;
  }
}

/** The point was committed by an earlier dispatch of this job whose answer got lost. */
async function resultOfCommitted(
  repository: Repository,
  point: VmPoint,
  signal: AbortSignal,
): Promise<JobResult> {
  const disks: BackupDiskResult[] = [];
  for (const { diskPoint } of point.disks) {
    const { diskId, sequence } = diskPoint;
    const { manifest } = await readDiskPoint(repository, diskId, sequence, signal);
    disks.push(resultOf({ manifest, ...manifest, healedBlocks: 0 }, "was committed before", 0));
  }
  return { kind: "backup", pointId: point.pointId, disks };
}

function resultOf(
  written: Pick<BackedUpDisk, "manifest" | "kind" | "stats" | "changeHintWrong" | "healedBlocks">,
  reason: string,
  durationMs: number,
): BackupDiskResult {
  const { readBytes, changedBytes, storedBytes, zeroBytes, unchangedBytes } = written.stats;
  return {
    diskId: written.manifest.diskId,
    kind: written.kind,
    reason,
    sizeBytes: written.manifest.sizeBytes,
    readBytes,
    changedBytes,
    storedBytes,
    zeroBytes,
    unchangedBytes,
    durationMs,
    warnings: warningsOf(written),
  };
}

function warningsOf({
  changeHintWrong,
  healedBlocks,
}: Pick<BackedUpDisk, "changeHintWrong" | "healedBlocks">): string[] {
  const warnings: string[] = [];
  if (changeHintWrong)
    warnings.push("Blocks that Azure listed as unchanged had changed. The whole disk was read.");
  if (healedBlocks > 0) {
    warnings.push(
      `${healedBlocks} blocks that a health check had found damaged were read and stored again. Older restore points stay damaged.`,
    );
  }
  return warnings;
}

function reasonOf(
  task: BackupDiskTask,
  parent: DiskPointReference | undefined,
  written: BackedUpDisk,
): string {
  if (written.alreadyCommitted) return "was committed before";
  if (written.kind === "incremental") return "changes since the parent point";
  if (task.base === undefined) return "no base to compare with";
  if (parent === undefined) return "the parent point is not in the repository";
  switch (written.fullReason) {
    case "change-hint-wrong":
      return "change hint was wrong";
    case "parent-unreadable":
      return "the parent point cannot be read";
    case "diff-unavailable":
      return "Azure gave no list of changes";
    case "asked-for":
    case undefined:
      return "a full was asked for";
  }
}

/** Undefined fields have no place in the manifest. */
function jsonOf(vm: BackupJob["vm"]): VmPoint["vm"] {
  return JSON.parse(JSON.stringify(vm)) as VmPoint["vm"];
}
