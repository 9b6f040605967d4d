import { HoldfastError } from "#core/lib/errors.ts";
import type { JobRecord, JobSpec } from "#core/model/job-record.ts";
import type { Repository } from "#core/model/repository.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import type { Session } from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";
import { getRunningSession } from "./running-session.ts";

/** What the runs that look after a repository share. */
export async function listPointsIn(
  { records }: AppContext,
  repositoryId: string,
): Promise<RestorePoint[]> {
  const points: RestorePoint[] = [];
  for await (const { value } of records.points.list())
    if (value.repositoryId === repositoryId) points.push(value);
  return points;
}

/**
 * Region of the workers that look after a repository: the one that its record names, else where the
 * VM of its newest restore point is, else where workers have been already (when that is one region).
 */
export async function findLocation(
  { records }: AppContext,
  repository: Repository,
  points: readonly RestorePoint[],
): Promise<string | undefined> {
  if (repository.location !== undefined) return repository.location;
  const [newest] = points.toSorted(
    (left, right) => Date.parse(right.takenAt) - Date.parse(left.takenAt),
  );
  if (newest !== undefined) return newest.vm.location;
  const regions: string[] = [];
  for await (const { id } of records.regions.list()) regions.push(id);
  return regions.length === 1 ? regions[0] : undefined;
}

/** Throws `HoldfastError` code `LocationUnknown`. */
export async function getLocation(
  context: AppContext,
  repository: Repository,
  points: readonly RestorePoint[],
): Promise<string> {
  const location = await findLocation(context, repository, points);
  if (location !== undefined) return location;
  throw new HoldfastError(
    "LocationUnknown",
    `Repository '${repository.name}' does not say in which region its account is: set its location.`,
  );
}

/** The session of a run in a repository, while it runs. */
export async function getRepositorySession(
  context: AppContext,
  sessionId: string,
): Promise<Session & { repositoryId: string }> {
  const session = await getRunningSession(context, sessionId);
  const { repositoryId } = session;
  if (repositoryId === undefined)
    throw new HoldfastError("WrongSession", `Session '${sessionId}' names no repository.`);
  return { ...session, repositoryId };
}

/** Adds the record of a job; a repeated step goes on with the one that is there. */
export async function prepareJob(
  { records }: AppContext,
  jobId: string,
  job: { readonly sessionId: string; readonly location: string; readonly spec: JobSpec },
): Promise<void> {
  await records.jobs.insert(jobId, {
    jobId,
    ...job,
    state: "prepared",
    attempt: 0,
    progress: [],
    progressSequence: -1,
  });
}

type Result<Kind extends string> = Extract<NonNullable<JobRecord["result"]>, { kind: Kind }>;
type Spec<Kind extends string> = Extract<JobSpec, { kind: Kind }>;

/** Spec and result of a job that succeeded. Throws `HoldfastError` code `ResultMissing`. */
export async function getResult<Kind extends JobSpec["kind"]>(
  { records }: AppContext,
  jobId: string,
  kind: Kind,
): Promise<{ spec: Spec<Kind>; result: Result<Kind> }> {
  const { spec, result } = await records.jobs.get(jobId);
  const isOf = <Part extends { kind: string }>(part: Part): part is Part & { kind: Kind } =>
    part.kind === kind;
  if (result === undefined || !isOf(result) || !isOf(spec))
    throw new HoldfastError("ResultMissing", `Job '${jobId}' reported no result of a ${kind}.`);
  return { spec: spec as Spec<Kind>, result: result as Result<Kind> };
}
