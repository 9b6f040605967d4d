/**
 * Has a region's private network made, as far as it is missing: plan, carry out at once all that needs
 * nothing else of the plan, look again. Two sessions may do so at the same time: names are derived,
 * requests can be repeated, and a resource that somebody is changing is tried again in the next round.
 */
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import { fail } from "#core/model/outcome.ts";
import type { ActivityOutcome, ActivityValues } from "../activities/activity-contract.ts";
import { log, nowOf, pauseSeconds, step, toError, wait, type Run, type Steps } from "./steps.ts";

/** Requests to Resource Manager at once. */
const ACTIONS_AT_ONCE = 8;

export interface RegionRequest {
  readonly location: string;
  /** Whose account must be reached; those of all repositories when neither is given. */
  readonly repositoryId?: string | undefined;
  readonly jobId?: string | undefined;
}

type PlannedRegion = ActivityValues["plan-region"];
type PlannedAction = PlannedRegion["actions"][number];

/** Until the region has all that a worker needs; throws what only a person can change. */
export function* ensureRegion(run: Run, request: RegionRequest): Steps<void> {
  const { location } = request;
  const deadline = nowOf(run) + run.settings.regionSeconds * 1000;
  const told = new Set<string>();
  for (let idle = 0; ;) {
    const plan = yield* step(run, "plan-region", request);
    yield* tell(run, location, plan, told);
    if (plan.ready) return;
    const [finding] = plan.findings;
    if (finding !== undefined)
      throw new HoldfastError(finding.code, plan.findings.map(({ message }) => message).join(" "));
    const due = plan.actions.filter(({ isDue }) => isDue);
    if (due.length > 0) yield* carryOut(run, location, due.slice(0, ACTIONS_AT_ONCE));
    if (nowOf(run) >= deadline) throw late(run, location, plan);
    idle = due.length > 0 ? 0 : idle + 1;
    yield* wait(run, pauseSeconds(run.settings, idle));
  }
}

/** The plan goes to the session's log, each line once. */
function* tell(run: Run, location: string, plan: PlannedRegion, told: Set<string>): Steps<void> {
  const lines = [
    ...plan.actions.map(
      ({ action, reason }) => `${action.kind} ${action.resourceId}, because ${reason}`,
    ),
    ...plan.notes,
  ].filter((line) => !told.has(line));
  for (const line of lines) {
    told.add(line);
    yield* log(run, "info", `region ${location}: ${line}`);
  }
}

/** Throws the first error that does not pass. */
function* carryOut(run: Run, location: string, due: readonly PlannedAction[]): Steps<void> {
  const { df } = run.context;
  const tasks = due.map(({ action, reason }) =>
    df.callActivity("execute-region-action", { location, action, reason }),
  );
  let outcomes: readonly ActivityOutcome<"execute-region-action">[];
  try {
    // Activities answer outcomes, so that this waits for all of them.
    const answers: unknown = yield df.Task.all(tasks);
    outcomes = answers as ActivityOutcome<"execute-region-action">[];
  } catch (error) {
    // The host could not run one of them: the next plan shows what is missing.
    outcomes = [fail("ActivityCrashed", messageOf(error), "backoff")];
  }
  for (const outcome of outcomes) {
    if (outcome.ok) continue;
    if (outcome.error.retry === "never") throw toError(outcome.error);
    yield* log(run, "info", `region ${location}: trying again: ${outcome.error.message}`);
  }
}

function late(run: Run, location: string, plan: PlannedRegion): HoldfastError {
  const left = [
    ...plan.actions.map(({ reason }) => reason),
    ...(plan.waitingFor === undefined ? [] : [plan.waitingFor]),
  ];
  return new HoldfastError(
    "RegionNotReady",
    `The private network of ${location} was not complete within ${run.settings.regionSeconds} s; it still lacks: ${left.join("; ")}.`,
    { retry: "backoff" },
  );
}
