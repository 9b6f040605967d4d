/**
 * Health check of a repository. Nothing is repaired here: what is found damaged goes on record, and
 * the next backup of the disk stores it again. Doing the job again checks again.
 */
import { assert } from "#core/lib/assert.ts";
import type { CheckJob } from "#core/protocol/job.ts";
import { CHECK_FINDINGS_MAX, type CheckResult } from "#core/protocol/worker-event.ts";
import { openRepository, type CheckFinding, type CheckReport } from "#core/repository/index.ts";
import { EventPages } from "./event-pages.ts";
import { secretOf, type JobTools } from "./job-tools.ts";

/** A queue message holds 48 KiB of text; the findings share it with names and escapes. */
const FINDINGS_BYTES_MAX = 24 * 1024;
const AFFECTED_POINTS_MAX = 10;
const MESSAGE_LENGTH_MAX = 500;

export async function runCheck(
  tools: JobTools,
  job: CheckJob,
  signal: AbortSignal,
): Promise<CheckResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, secretOf(tools, job.repository), signal);
  const { level, samplePercent, vmIds, jobId } = job;
  await using mover = tools.startMover(1);
  const report = await mover.checkRepository(
    repository,
    {
      level,
      samplePercent,
      ...(vmIds === undefined ? {} : { vmIds }),
      random: tools.random,
      quarantine: { now: tools.clock.now(), foundBy: jobId },
    },
    signal,
  );
  const { checkedObjects, checkedPoints, verifiedBlocks, readBytes, findingCount } = report;
  const counts = { checkedObjects, checkedPoints, verifiedBlocks, readBytes, findingCount };
  await tellAffected(tools, job, report, signal);
  return {
    kind: "check",
    level,
    ...counts,
    findings: fitting(report.findings),
    affectedPointCount: report.affectedPoints.length,
  };
}

/** All of them, whatever the result has room for: a point that is not told would pass for sound. */
async function tellAffected(
  { sendEvent }: JobTools,
  { jobId, attempt }: CheckJob,
  { affectedPoints }: CheckReport,
  signal: AbortSignal,
): Promise<void> {
  type Point = CheckReport["affectedPoints"][number];
  const pages = new EventPages<Point>((page, points) =>
    sendEvent({ kind: "points-affected", jobId, attempt, page, points }, signal),
  );
  for (const point of affectedPoints) {
    // Names of a repository are short (format, section 1).
    assert(await pages.add(point), "a restore point's name fits into a page");
  }
  await pages.flush();
}

/** Findings that harm restore points first, as many as one message holds. */
function fitting(findings: readonly CheckFinding[]): CheckResult["findings"] {
  const harmsNone = ({ affectedPoints, affectedArchives = [] }: CheckFinding): number =>
    Number(affectedPoints.length + affectedArchives.length === 0);
  const sorted = findings.toSorted((left, right) => harmsNone(left) - harmsNone(right));
  const fit: CheckResult["findings"] = [];
  let sizeBytes = 0;
  for (const finding of sorted.slice(0, CHECK_FINDINGS_MAX)) {
    const short = shortened(finding);
    sizeBytes += Buffer.byteLength(JSON.stringify(short));
    if (sizeBytes > FINDINGS_BYTES_MAX) break;
    fit.push(short);
  }
  return fit;
}

function shortened({ affectedPoints, affectedArchives, message, ...finding }: CheckFinding) {
  const omitted = affectedPoints.length - AFFECTED_POINTS_MAX;
  const more = omitted > 0 ? ` Affects ${omitted} more restore points.` : "";
  return {
    ...finding,
    affectedPoints: affectedPoints.slice(0, AFFECTED_POINTS_MAX),
    // An object lies in one archive.
    ...(affectedArchives !== undefined && { affectedArchives: [...affectedArchives] }),
    message: `${message.slice(0, MESSAGE_LENGTH_MAX)}${more}`,
  };
}
