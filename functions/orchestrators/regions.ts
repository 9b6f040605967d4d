/**
 * Has a region's private network made, as far as it is missing: plan, carry out at once all that needs
 * nothing else of the plan, look again. Sessions that find something missing do so in turn, so that ten
 * that begin at once do not send every request ten times. Two may still do so at the same time: names
 * are derived, requests can be repeated, and a resource that somebody is changing is tried again in the
 * next round.
 */
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import { fail } from "#core/model/outcome.ts";
import type { ActivityOutcome, ActivityValues } from "../activities/activity-contract.ts";
import { awaitTurn, leaveTurn, takeTurn } from "./region-turns.ts";
import {
  log,
  logAll,
  nowOf,
  pauseSeconds,
  step,
  toError,
  wait,
  type Run,
  type Steps,
} from "./steps.ts";

/** Requests to Resource Manager at once. */
const ACTIONS_AT_ONCE = 8;
/** Tries of one action between two plans. */
const TRIES_MAX = 3;

export interface RegionRequest {
  readonly location: string;
  /** Whose account must be reached; those of all repositories when neither is given. */
  readonly repositoryId?: string | undefined;
  readonly jobId?: string | undefined;
}

type PlannedRegion = ActivityValues["plan-region"];
type PlannedAction = PlannedRegion["actions"][number];
type Executed = ActivityOutcome<"execute-region-action">;

/** Until the region has all that a worker needs; throws what only a person can change. */
export function* ensureRegion(run: Run, request: RegionRequest): Steps<void> {
  const { location } = request;
  const deadline = nowOf(run) + run.settings.regionSeconds * 1000;
  const told = new Set<string>();
  let hasTurn = false;
  try {
    for (let idle = 0; ;) {
      const plan = yield* step(run, "plan-region", request);
      const isPatient = plan.inTurns === true && !plan.ready && plan.findings.length === 0;
      if (isPatient) {
        hasTurn = yield* takeTurn(run, location);
        if (!hasTurn) {
          if (nowOf(run) >= deadline) throw late(run, location, plan);
          yield* awaitTurn(run, location, deadline);
          continue;
        }
      }
      yield* tell(run, location, plan, told);
      if (plan.ready) return;
      const [finding] = plan.findings;
      if (finding !== undefined)
        throw new HoldfastError(
          finding.code,
          plan.findings.map(({ message }) => message).join(" "),
        );
      const due = plan.actions.filter(({ isDue }) => isDue);
      if (due.length > 0) yield* carryOut(run, location, due.slice(0, ACTIONS_AT_ONCE));
      if (nowOf(run) >= deadline) throw late(run, location, plan);
      idle = due.length > 0 ? 0 : idle + 1;
      yield* wait(run, pauseSeconds(run.settings, idle));
    }
  } finally {
    if (hasTurn) yield* leaveTurn(run, location);
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
  for (const line of lines) told.add(line);
  yield* logAll(
    run,
    "info",
    lines.map((line) => `region ${location}: ${line}`),
  );
}

/**
 * Carries out actions at the same time; those that fail for now get more tries, also because Azure
 * takes one change of a network at a time. Throws the first error that does not pass.
 */
function* carryOut(run: Run, location: string, due: readonly PlannedAction[]): Steps<void> {
  let left = due;
  for (let tries = 1; left.length > 0; tries++) {
    const outcomes: readonly Executed[] = yield* executeAll(run, location, left);
    const failed = outcomes.flatMap((outcome) => (outcome.ok ? [] : [outcome.error]));
    const final = failed.find(({ retry }) => retry === "never");
    if (final !== undefined) throw toError(final);
    left = left.filter((_, index) => outcomes[index]?.ok !== true);
    if (left.length === 0) return;
    if (tries >= TRIES_MAX) {
      // The next plan shows what is missing then.
      for (const { message } of failed)
        yield* log(run, "info", `region ${location}: not done yet: ${message}`);
      return;
    }
    yield* wait(run, pauseSeconds(run.settings, tries - 1));
  }
}

function* executeAll(
  run: Run,
  location: string,
  due: readonly PlannedAction[],
): Steps<readonly Executed[]> {
  const { df } = run.context;
  const tasks = due.map(({ action, reason }) =>
    df.callActivity("execute-region-action", { location, action, reason }),
  );
  try {
    // Activities answer outcomes, so that this waits for all of them.
    const answers: unknown = yield df.Task.all(tasks);
    return answers as Executed[];
  } catch (error) {
    // The host could not run one of them: all can be repeated.
    return due.map(() => fail("ActivityCrashed", messageOf(error), "backoff"));
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
