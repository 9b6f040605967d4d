/** How a job comes by a worker and gives it back, in agreement with the pool of the region. */
import { fail, failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { AcquireAnswer } from "#core/workers/pool.ts";
import { ENTITIES, SESSION_OVER } from "./names.ts";
import {
  askEntity,
  attempt,
  log,
  nowOf,
  pauseSeconds,
  step,
  until,
  wait,
  type Run,
  type Steps,
} from "./steps.ts";

/** Longest time that a region, a NIC, a VM or its installation may take. */
const REGION_SECONDS_MAX = 1800;
const PROVISION_SECONDS_MAX = 1200;
/** A lease outlives a launch and one window of waiting, with room for a restart of the host. */
export const LEASE_SECONDS = 3 * 3600;
/** A waiter asks at least every minute. */
const WAITER_SECONDS = 600;
const WORKER_ID_DIGITS = 12;

export interface Holder {
  readonly holder: string;
  readonly location: string;
}

/** Until the region has all that a worker needs; the plan goes to the session's log. */
export function* ensureRegion(run: Run, location: string): Steps<void> {
  const deadline = nowOf(run) + REGION_SECONDS_MAX * 1000;
  for (let polls = 0; ; polls++) {
    const plan = yield* step(run, "plan-region", { location });
    if (plan.ready) return;
    for (const { kind, reason } of plan.actions) {
      yield* log(run, "info", `region ${location}: ${kind}, because ${reason}`);
      yield* step(run, "execute-region-action", { location, kind });
    }
    if (nowOf(run) >= deadline) {
      yield* until(run, "plan-region", { location }, 0);
      return;
    }
    yield* wait(run, pauseSeconds(run.settings, polls));
  }
}

/** Reuses, launches or waits. A worker that cannot be launched is removed again. */
export function* acquireWorker(
  run: Run,
  { holder, location }: Holder,
  deadline: number,
): Steps<Outcome<string>> {
  const { settings } = run;
  const digits = run.context.df.newGuid(holder).replaceAll("-", "").slice(0, WORKER_ID_DIGITS);
  const candidateWorkerId = `holdfast-${digits}`;
  for (let polls = 0; ; polls++) {
    const asked = yield* askEntity<AcquireAnswer>(run, ENTITIES.workerPool, location, "acquire", {
      holder,
      candidateWorkerId,
      now: nowOf(run),
      max: settings.workersPerRegionMax,
      leaseMs: LEASE_SECONDS * 1000,
      waiterMs: WAITER_SECONDS * 1000,
    });
    if (!asked.ok) return asked;
    const answer = asked.value;
    if (answer.kind === "reuse") return succeed(answer.workerId);
    if (answer.kind === "launch")
      return yield* launchWorker(run, { holder, location }, answer.workerId);
    if (answer.kind === "over")
      return fail(SESSION_OVER, `${holder} gets no worker any more: its session is over.`);
    if (polls === 0)
      yield* log(run, "info", `waiting for a worker in ${location}; ${answer.ahead} wait before`);
    if (nowOf(run) >= deadline) {
      yield* askEntity(run, ENTITIES.workerPool, location, "discard", { holder, now: nowOf(run) });
      return fail("NoWorker", `No worker in ${location} became free before the job's deadline.`);
    }
    yield* wait(run, pauseSeconds(settings, polls));
  }
}

function* launchWorker(run: Run, holder: Holder, workerId: string): Steps<Outcome<string>> {
  try {
    yield* log(run, "info", `launching worker ${workerId} in ${holder.location}`);
    yield* step(run, "register-worker", { workerId, location: holder.location });
    yield* step(run, "start-worker-nic", { workerId });
    yield* until(run, "read-worker-nic", { workerId }, PROVISION_SECONDS_MAX);
    yield* step(run, "start-worker-vm", { workerId });
    yield* until(run, "read-worker-vm", { workerId }, PROVISION_SECONDS_MAX);
    yield* step(run, "install-agent", { workerId });
    yield* until(run, "read-install", { workerId }, PROVISION_SECONDS_MAX);
    yield* until(run, "read-worker", { workerId }, PROVISION_SECONDS_MAX);
    yield* renewLease(run, holder);
    yield* log(run, "info", `worker ${workerId} is ready`);
    return succeed(workerId);
  } catch (error) {
    yield* discardWorker(run, holder, workerId);
    return failureOf(error);
  }
}

/** Confirms the launch, or that the work goes on. */
export function* renewLease(run: Run, { holder, location }: Holder): Steps<void> {
  const input = { holder, now: nowOf(run), leaseMs: LEASE_SECONDS * 1000 };
  yield* askEntity(run, ENTITIES.workerPool, location, "renew", input);
}

/** Gives the worker back: the next job may have it. A message that fails costs its lease only. */
export function* releaseWorker(run: Run, { holder, location }: Holder): Steps<void> {
  yield* askEntity(run, ENTITIES.workerPool, location, "release", { holder, now: nowOf(run) });
}

/** Takes the worker out of service and removes all of it. */
export function* discardWorker(run: Run, holder: Holder, workerId: string): Steps<void> {
  yield* askEntity(run, ENTITIES.workerPool, holder.location, "discard", {
    holder: holder.holder,
    now: nowOf(run),
  });
  yield* removeWorker(run, holder.location, workerId);
}

/** Deletes the worker's VM and what goes with it. What fails here is done by the sweep. */
function* removeWorker(run: Run, location: string, workerId: string): Steps<void> {
  const started = yield* attempt(run, "start-worker-removal", { workerId });
  if (started.ok) yield* finishRemoval(run, location, workerId);
  else yield* log(run, "warning", `worker ${workerId} stays for now: ${started.error.message}`);
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
export function* revokeGrants(run: Run, jobId: string): Steps<void> {
  const revoked = yield* attempt(run, "revoke-grants", { jobId });
  if (!revoked.ok)
    yield* log(run, "warning", `access was not revoked (${revoked.error.message}); the sweep will`);
}
