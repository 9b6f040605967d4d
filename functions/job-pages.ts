/**
 * What a worker tells in *pages* (a message of the event queue is small). They come at least once, in
 * any order, and also after the end of their job; the result says how much all of them hold.
 */
import type { JobRecord } from "#core/model/job-record.ts";
import type { AppContext } from "./app-context.ts";

const PAGE_DIGITS = 8;

interface OfJob {
  readonly jobId: string;
  readonly attempt: number;
}

/** The job that a page belongs to; undefined when it comes from another dispatch or worker. */
export async function readJobOfPage(
  { records }: AppContext,
  workerId: string,
  kind: JobRecord["spec"]["kind"],
  { jobId, attempt }: OfJob,
): Promise<JobRecord | undefined> {
  const job = (await records.jobs.read(jobId))?.value;
  if (job === undefined) return undefined;
  const isCurrent = job.attempt === attempt && job.workerId === workerId;
  return isCurrent && job.spec.kind === kind && job.state !== "failed" ? job : undefined;
}

/** Sorts by number; all pages of a dispatch begin with `pagePrefixOf` it. */
export function pageIdOf(attempt: number, page: number): string {
  return `${pagePrefixOf(attempt)}${String(page).padStart(PAGE_DIGITS, "0")}`;
}

export function pagePrefixOf(attempt: number): string {
  return `${attempt}-`;
}
