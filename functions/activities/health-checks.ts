import type { RestorePoint } from "#core/model/restore-point.ts";
import type { CheckResult } from "#core/protocol/worker-event.ts";
import type { AppContext } from "../app-context.ts";
import { pagePrefixOf } from "../job-pages.ts";
import { defineActivity } from "./define-activity.ts";
import {
  getLocation,
  getRepositorySession,
  getResult,
  listPointsIn,
  prepareJob,
} from "./repositories.ts";

/** Health checks: what a worker finds damaged is shown at the restore points that it affects. */
export const planCheck = defineActivity("plan-check", async (context, input) => {
  const { sessionId, level, vmIds } = input;
  const { repositoryId } = await getRepositorySession(context, sessionId);
  const repository = await context.records.repositories.get(repositoryId);
  const points = await listPointsIn(context, repositoryId);
  const location = await getLocation(context, repository, points);
  const ofVms = vmIds === undefined ? {} : { vmIds };
  const spec = { kind: "check", repositoryId, level, ...ofVms } as const;
  await prepareJob(context, sessionId, { sessionId, location, spec });
  await context.records.sessions.update(sessionId, (each) => ({ ...each, checkLevel: level }));
  return { location };
});

interface Told {
  readonly pointCount: number;
  readonly pointIds: ReadonlySet<string>;
}

/** What the pages of the last dispatch name as affected. */
async function readPages({ records }: AppContext, jobId: string): Promise<Told> {
  const { attempt } = await records.jobs.get(jobId);
  const pointIds: string[] = [];
  const pages = records.checkPages(jobId).list({ prefix: pagePrefixOf(attempt) });
  for await (const { value } of pages) pointIds.push(...value.pointIds);
  return { pointCount: pointIds.length, pointIds: new Set(pointIds) };
}

export const readCheck = defineActivity("read-check", async (context, { sessionId }) => {
  const { result } = await getResult(context, sessionId, "check");
  const told = await readPages(context, sessionId);
  const missing = (result.affectedPointCount ?? 0) - told.pointCount;
  if (missing <= 0) return { ready: true };
  return {
    ready: false,
    waitingFor: `${missing} damaged restore points that the worker has found`,
  };
});

/**
 * Marks what is damaged and clears what is healed. Only a check that told every damaged point proves
 * that another one is sound. Repeated after it removed the pages, it has nothing to tell that from:
 * it clears nothing, and knows its own marks.
 */
export const indexCheck = defineActivity("index-check", async (context, { sessionId }) => {
  const { records } = context;
  const { spec, result } = await getResult(context, sessionId, "check");
  const { kind: _kind, ...check } = result;
  const told = await readPages(context, sessionId);
  const isComplete = told.pointCount >= (check.affectedPointCount ?? Number.POSITIVE_INFINITY);
  const named = check.findings.flatMap(({ affectedPoints }) => affectedPoints);
  const affected = new Set([...told.pointIds, ...named.map(({ pointId }) => pointId)]);
  let damagedCount = 0;
  for (const point of await listPointsIn(context, spec.repositoryId)) {
    const { pointId, damaged, vmId } = point;
    if (damaged?.sessionId === sessionId) {
      damagedCount++;
    } else if (affected.has(pointId)) {
      damagedCount++;
      await markDamaged(context, sessionId, point, check.level);
    } else if (
      damaged !== undefined &&
      isComplete &&
      spec.vmIds?.includes(vmId) !== false &&
      canClear(check.level, damaged.level)
    ) {
      await records.points.update(pointId, ({ damaged: _gone, ...rest }) => rest);
    }
  }
  await records.sessions.update(sessionId, (session) => ({ ...session, check }));
  const pages = records.checkPages(sessionId);
  for await (const { id } of pages.list()) await pages.delete(id);
  const findings = check.findings.slice(0, LOGGED_FINDINGS_MAX).map(describeFinding);
  const { findingCount, checkedObjects, verifiedBlocks } = check;
  return { findingCount, damagedCount, checkedObjects, verifiedBlocks, findings };
});

const LOGGED_FINDINGS_MAX = 10;

type Finding = CheckResult["findings"][number];

/** The message alone does not say where. */
function describeFinding({ kind, object, diskId, blocks, message }: Finding): string {
  const ofDisk = diskId === undefined ? "" : ` of disk ${diskId}`;
  const place =
    blocks === undefined
      ? ofDisk
      : ` at blocks ${blocks.first} to ${blocks.first + blocks.count - 1}${ofDisk}`;
  return `${kind}: ${object}${place}: ${message}`;
}

type Level = NonNullable<RestorePoint["damaged"]>["level"];
const DEPTH = { presence: 0, metadata: 1, sample: 2, complete: 3 } as const;

/** Whether a check that finds nothing proves that what another found is healed. */
function canClear(now: Level, found: Level): boolean {
  // Each sample reads other blocks.
  if (now === "sample" && found === "sample") return false;
  return DEPTH[now] >= DEPTH[found];
}

async function markDamaged(
  { records, clock }: AppContext,
  sessionId: string,
  { pointId }: RestorePoint,
  level: Level,
): Promise<void> {
  const foundAt = clock().toISOString();
  await records.points.update(pointId, (point) => {
    // What a deeper check found before is not disproved by what this one found.
    const known = point.damaged?.level ?? level;
    const deepest = DEPTH[known] > DEPTH[level] ? known : level;
    return { ...point, damaged: { sessionId, foundAt, level: deepest } };
  });
}
