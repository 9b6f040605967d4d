import type { WorkerEventBody } from "#core/protocol/worker-event.ts";
import type { AppContext } from "../app-context.ts";
import { pageIdOf, readJobOfPage } from "../job-pages.ts";

type PointsAffected = Extract<WorkerEventBody, { kind: "points-affected" }>;

/**
 * Keeps one page of a health check; `index-check` marks the points when it has all pages. A page that
 * comes when the session is over has been read, or is of no interest any more.
 */
export async function takePointsAffected(
  context: AppContext,
  workerId: string,
  { page, points, ...ofJob }: PointsAffected,
): Promise<void> {
  const job = await readJobOfPage(context, workerId, "check", ofJob);
  if (job === undefined) return;
  const session = await context.records.sessions.read(job.sessionId);
  if (session?.value.state !== "running") return;
  const pointIds = points.map(({ pointId }) => pointId);
  await context.records.checkPages(job.jobId).put(pageIdOf(ofJob.attempt, page), { pointIds });
}
