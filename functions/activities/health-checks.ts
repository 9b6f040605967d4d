import type { RestorePoint } from "#core/model/restore-point.ts";
import type { CheckResult } from "#core/protocol/worker-event.ts";
import type { AppContext } from "../app-context.ts";
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

export const indexCheck = defineActivity("index-check", async (context, { sessionId }) => {
  const { records } = context;
  const { spec, result } = await getResult(context, sessionId, "check");
  const { kind: _kind, ...check } = result;
  const affected = new Set(
    check.findings.flatMap(({ affectedPoints }) => affectedPoints.map(({ pointId }) => pointId)),
  );
  // Findings beyond what a message holds are only counted: whom they affect is not known.
  const isComplete = check.findingCount <= check.findings.length;
  let damagedCount = 0;
  for (const point of await listPointsIn(context, spec.repositoryId)) {
    const { pointId, damaged, vmId } = point;
    if (affected.has(pointId)) {
      damagedCount++;
      if (damaged?.sessionId !== sessionId)
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
  const damaged = { sessionId, foundAt: clock().toISOString(), level };
  await records.points.update(pointId, (point) => ({ ...point, damaged }));
}
