/** How a job comes by a worker and gives it back, in agreement with the pool of the region. */
import { HoldfastError } from "#core/lib/errors.ts";
import { fail, failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import { isWithoutRoom, type WorkerChoice } from "#core/workers/choose-worker.ts";
import type { AcquireAnswer } from "#core/workers/pool.ts";
import { ENTITIES, SESSION_OVER } from "./names.ts";
import {
  askEntity,
  attempt,
  log,
  nowOf,
  pauseSeconds,
  step,
  toError,
  until,
  wait,
  type Run,
  type Steps,
} from "./steps.ts";

/** Longest time that a NIC, a VM or its installation may take, within the job's deadline. */
const PROVISION_SECONDS_MAX = 1200;
/** An agent that runs enrols with each heartbeat: what takes longer has no way to the queue. */
const ENROL_SECONDS_MIN = 60;
/** A lease outlives a launch and one window of waiting, with room for a restart of the host. */
export const LEASE_SECONDS = 3 * 3600;
/** A waiter asks at least every minute. */
const WAITER_SECONDS = 600;
const WORKER_ID_DIGITS = 12;
/** Longest pause of whoever may be the next, in poll intervals. */
const NEXT_PAUSE_POLLS = 2;

export interface Holder {
  readonly holder: string;
  readonly location: string;
}

export interface Acquisition extends Holder {
  readonly jobId: string;
  readonly sessionId: string;
  /** How often a spot worker of this job was evicted. */
  readonly evictions: number;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
}

/** Reuses, recovers, launches or waits. A worker that cannot be launched is removed again. */
export function* acquireWorker(run: Run, acquisition: Acquisition): Steps<Outcome<string>> {
  const { settings } = run;
  const { holder, location, jobId, evictions } = acquisition;
  const chosen = yield* attempt(run, "choose-worker", { jobId, location, evictions });
  if (!chosen.ok) return chosen;
  const choice = chosen.value;
  const digits = run.context.df.newGuid(holder).replaceAll("-", "").slice(0, WORKER_ID_DIGITS);
  for (let polls = 0; ; polls++) {
    const asked = yield* askEntity<AcquireAnswer>(run, ENTITIES.workerPool, location, "acquire", {
      holder,
      candidateWorkerId: `holdfast-${digits}`,
      profile: choice.profile,
      priority: choice.options[0]?.priority ?? "regular",
      mustBeRegular: choice.mustBeRegular,
      now: nowOf(run),
      max: choice.maximum,
      leaseMs: LEASE_SECONDS * 1000,
      waiterMs: WAITER_SECONDS * 1000,
    });
    if (!asked.ok) return asked;
    const answer = asked.value;
    switch (answer.kind) {
      case "reuse":
        return succeed(answer.workerId);
      case "recover":
        return yield* recoverWorker(run, acquisition, answer.workerId);
      case "launch":
        return yield* launchWorker(run, acquisition, answer.workerId, choice);
      case "over":
        return fail(SESSION_OVER, `${holder} gets no worker any more: its session is over.`);
      case "wait":
        if (polls === 0)
          yield* log(
            run,
            "info",
            `waiting for a worker in ${location}; ${answer.ahead} wait before`,
          );
    }
    if (nowOf(run) >= acquisition.deadline) {
      yield* askEntity(run, ENTITIES.workerPool, location, "discard", { holder, now: nowOf(run) });
      return fail("NoWorker", `No worker in ${location} became free before the job's deadline.`);
    }
    const isNext = answer.ahead < choice.maximum;
    yield* wait(run, isNext ? nextPauseSeconds(settings, polls) : pauseSeconds(settings, polls));
  }
}

/** Whoever may be the next looks often: a worker that became free is kept for it and does nothing. */
function nextPauseSeconds(settings: Run["settings"], polls: number): number {
  return Math.min(pauseSeconds(settings, polls), NEXT_PAUSE_POLLS * settings.pollSeconds);
}

/** Whole seconds that a step of a launch may take: the job's deadline holds for its worker too. */
function provisionSeconds(run: Run, { deadline }: Acquisition): number {
  const left = Math.ceil((deadline - nowOf(run)) / 1000);
  return Math.max(0, Math.min(PROVISION_SECONDS_MAX, left));
}

/** Makes a worker in the first size that Azure has room for. */
function* launchWorker(
  run: Run,
  acquisition: Acquisition,
  workerId: string,
  { profile, options, reasons }: WorkerChoice,
): Steps<Outcome<string>> {
  const { location, sessionId } = acquisition;
  try {
    yield* log(run, "info", `launching worker ${workerId} in ${location} (${reasons.join("; ")})`);
    for (const [index, option] of options.entries()) {
      yield* step(run, "register-worker", { workerId, location, sessionId, profile, option });
      const made = yield* makeVm(run, acquisition, workerId);
      if (made.ok) {
        yield* advanceLease(run, acquisition, { event: "made", priority: option.priority });
        return yield* enrolWorker(run, acquisition, workerId);
      }
      if (!isWithoutRoom(made.error)) throw toError(made.error);
      const name = `${option.vmSize} (${option.priority})`;
      yield* log(run, "warning", `no room for ${name} in ${location}: ${made.error.message}`);
      if (index === options.length - 1) break;
      yield* step(run, "start-worker-removal", { workerId, state: "failed" });
      yield* until(run, "finish-worker-removal", { workerId }, provisionSeconds(run, acquisition));
    }
    const message = `Azure has no room in ${location} for any size of profile ${profile}.`;
    throw new HoldfastError("NoRoom", message, { retry: "backoff" });
  } catch (error) {
    yield* discardWorker(run, acquisition, workerId, failureOf(error).error.message);
    return failureOf(error);
  }
}

/** NIC and VM. That there is no room for the size comes as an outcome with Azure's code. */
function* makeVm(run: Run, acquisition: Acquisition, workerId: string): Steps<Outcome<null>> {
  try {
    yield* step(run, "start-worker-nic", { workerId });
    yield* until(run, "read-worker-nic", { workerId }, provisionSeconds(run, acquisition));
    const { noRoom } = yield* step(run, "start-worker-vm", { workerId });
    if (noRoom !== undefined) return fail("AllocationFailed", noRoom, "backoff");
    yield* until(run, "read-worker-vm", { workerId }, provisionSeconds(run, acquisition));
    return succeed(null);
  } catch (error) {
    return failureOf(error);
  }
}

/** A deallocated VM runs again, with a new agent. What fails is the worker, not the job. */
function* recoverWorker(
  run: Run,
  acquisition: Acquisition,
  workerId: string,
): Steps<Outcome<string>> {
  try {
    yield* log(run, "info", `starting worker ${workerId} in ${acquisition.location} again`);
    yield* step(run, "recover-worker", { workerId });
    yield* until(run, "read-worker-vm", { workerId }, provisionSeconds(run, acquisition));
    yield* advanceLease(run, acquisition, { event: "made" });
    return yield* enrolWorker(run, acquisition, workerId);
  } catch (error) {
    const { code, message } = failureOf(error).error;
    yield* discardWorker(run, acquisition, workerId, message);
    return fail(code, message, "backoff");
  }
}

function* enrolWorker(
  run: Run,
  acquisition: Acquisition,
  workerId: string,
): Steps<Outcome<string>> {
  yield* step(run, "install-agent", { workerId });
  yield* until(run, "read-install", { workerId }, provisionSeconds(run, acquisition));
  const enrolSeconds = Math.max(ENROL_SECONDS_MIN, run.settings.workerLostSeconds * 2);
  yield* until(run, "read-worker", { workerId }, enrolSeconds);
  yield* advanceLease(run, acquisition, { event: "enrolled" });
  yield* log(run, "info", `worker ${workerId} is ready`);
  return succeed(workerId);
}

/** Confirms that the launch got on, or that the work goes on. */
export function* advanceLease(
  run: Run,
  { holder, location }: Holder,
  progress: { readonly event?: "made" | "enrolled"; readonly priority?: "spot" | "regular" } = {},
): Steps<void> {
  const input = { holder, now: nowOf(run), leaseMs: LEASE_SECONDS * 1000, ...progress };
  yield* askEntity(run, ENTITIES.workerPool, location, "advance", input);
}

/** Gives the worker back: the next job may have it. A message that fails costs its lease only. */
export function* releaseWorker(
  run: Run,
  { holder, location }: Holder,
  workerId: string,
): Steps<void> {
  // Before the pool gives it to the next job, which writes another state.
  yield* attempt(run, "rest-worker", { workerId });
  yield* askEntity(run, ENTITIES.workerPool, location, "release", { holder, now: nowOf(run) });
}

/** Takes the worker out of service and removes all of it. */
export function* discardWorker(
  run: Run,
  holder: Holder,
  workerId: string,
  reason: string,
): Steps<void> {
  yield* askEntity(run, ENTITIES.workerPool, holder.location, "discard", {
    holder: holder.holder,
    now: nowOf(run),
  });
  const input = { workerId, state: "failed", reason } as const;
  const started = yield* attempt(run, "start-worker-removal", input);
  if (started.ok) yield* finishRemoval(run, holder.location, workerId);
  else yield* log(run, "warning", `worker ${workerId} stays for now: ${started.error.message}`);
}

/** Waits until a VM that is being deallocated is. What fails here is done by the next sweep. */
export function* finishDeallocation(run: Run, location: string, workerId: string): Steps<void> {
  try {
    yield* until(run, "read-worker-deallocation", { workerId }, PROVISION_SECONDS_MAX);
    const input = { workerId, now: nowOf(run) };
    yield* askEntity(run, ENTITIES.workerPool, location, "deallocated", input);
  } catch (error) {
    const { message } = failureOf(error).error;
    yield* log(run, "warning", `worker ${workerId} is not deallocated yet (${message})`);
  }
}

/** Waits until a VM whose deletion was started is gone, then removes the rest of the worker. */
export function* finishRemoval(run: Run, location: string, workerId: string): Steps<void> {
  try {
    yield* until(run, "finish-worker-removal", { workerId }, PROVISION_SECONDS_MAX);
    yield* askEntity(run, ENTITIES.workerPool, location, "forget", { workerId });
  } catch (error) {
    const { message } = failureOf(error).error;
    yield* log(run, "warning", `worker ${workerId} is not gone yet (${message})`);
  }
}

/** Revokes every grant of a job; answers whether none is left. */
export function* revokeGrants(run: Run, jobId: string): Steps<boolean> {
  const revoked = yield* attempt(run, "revoke-grants", { jobId });
  if (!revoked.ok)
    yield* log(run, "warning", `access was not revoked (${revoked.error.message}); the sweep will`);
  return revoked.ok;
}
