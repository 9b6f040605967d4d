/**
 * When a worker looks at its network: before a job on ways that were not seen to work as they are now,
 * and after a job that failed as if the network were broken. Where no worker can look, Resource Manager
 * alone is asked. What is found ends the job with a text that names it.
 */
import type { OrchestrationContext } from "durable-functions";
import { fail, succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { mayBeNetwork } from "#core/network/network-errors.ts";
import type { AwaitedJob, AwaitJobInput } from "./await-job.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { ORCHESTRATORS } from "./names.ts";
import type { RunWorkerJobInput, WorkerJobValue } from "./run-worker-job.ts";
import { closing } from "./session-run.ts";
import {
  attempt,
  callChild,
  createRun,
  log,
  must,
  nowOf,
  pauseSeconds,
  step,
  wait,
  type Run,
  type Steps,
} from "./steps.ts";
import { revokeGrants } from "./workers.ts";

/** Code of a job that ended because its network is broken. */
const NETWORK_BROKEN = "NetworkBroken";
/** Looks of one doctor: records and assignments that were just made may take a moment to be seen. */
const LOOKS_MAX = 3;
/** Probes take seconds; the rest is the way of the job and its result. */
const LOOK_SECONDS_MAX = 120;

interface Patient {
  readonly jobId: string;
  readonly sessionId: string;
  readonly location: string;
}

interface Look {
  readonly workerId: string;
  /** Tells the looks of one job apart. */
  readonly label: string;
}

type Failure = Extract<Outcome<never>, { ok: false }>;

/** How one use of a worker ended. */
export interface Ending {
  readonly outcome: Outcome<null>;
  /** Why the worker must not get another job, e.g. because it may still be at work. */
  readonly unwell?: string;
}

/** Has the worker look when something has changed since the ways were seen to work, or by force. */
export function* lookAtNetwork(
  run: Run,
  { jobId, location }: Patient,
  { workerId, label, force }: Look & { readonly force: boolean },
): Steps<Ending> {
  const doctorJobId = `${jobId}~doctor-${label}`;
  const planned = yield* attempt(run, "plan-doctor", { jobId, doctorJobId, location, force });
  if (!planned.ok) return { outcome: planned };
  if (!planned.value.needed) return { outcome: succeed(null) };
  yield* log(run, "info", `worker ${workerId} looks at the network of ${location}`);
  for (let look = 1; ; look++) {
    const input = { jobId: doctorJobId, attempt: look, workerId };
    const asked = yield* attempt(run, "dispatch-job", input);
    const awaited = asked.ok ? yield* awaitLook(run, doctorJobId, look) : asked;
    yield* revokeGrants(run, doctorJobId);
    const failure = whyNoLook(workerId, awaited);
    if (failure !== undefined) return failure;
    const verdict = yield* attempt(run, "conclude-doctor", { jobId: doctorJobId });
    if (!verdict.ok) return { outcome: verdict };
    if (verdict.value.ok) {
      yield* log(run, "info", `the network of ${location} works`);
      return { outcome: succeed(null) };
    }
    if (look >= LOOKS_MAX) return { outcome: fail(NETWORK_BROKEN, verdict.value.text) };
    yield* log(run, "warning", `${verdict.value.text} Looking again.`);
    yield* wait(run, pauseSeconds(run.settings, look));
  }
}

/** A worker that gets the doctor's job and does not report it is lost, as with any other job. */
function whyNoLook(workerId: string, awaited: Outcome<AwaitedJob>): Ending | undefined {
  if (!awaited.ok) return { outcome: awaited, unwell: awaited.error.message };
  const { value } = awaited;
  switch (value.kind) {
    case "succeeded":
      return undefined;
    case "failed":
      return { outcome: { ok: false, error: value.error }, unwell: value.error.message };
    case "gone": {
      const message = `Worker ${workerId} is lost: ${value.reason}.`;
      const code = value.wasSpot ? "WorkerEvicted" : "WorkerGone";
      return { outcome: fail(code, message, "backoff"), unwell: message };
    }
    case "running":
    case "lost":
    case "late": {
      const message = `Worker ${workerId} did not report what it saw of its network.`;
      return { outcome: fail("WorkerLost", message, "backoff"), unwell: message };
    }
  }
}

function* awaitLook(run: Run, jobId: string, look: number): Steps<Outcome<AwaitedJob>> {
  const deadline = nowOf(run) + LOOK_SECONDS_MAX * 1000;
  const input: AwaitJobInput = { jobId, attempt: look, deadline, settings: run.settings };
  const instanceId = `await-${jobId}-${look}-0`;
  return yield* callChild<AwaitedJob>(run, ORCHESTRATORS.awaitJob, input, instanceId);
}

/**
 * What a failure means where the network may be behind it and no worker can look: the same failure, or
 * one that names what Resource Manager shows to be broken.
 */
export function* explainFailure(run: Run, jobId: string, failure: Failure): Steps<Failure> {
  const { code, message, retry } = failure.error;
  if (!mayBeNetwork(code)) return failure;
  const explained = yield* attempt(run, "explain-network", { jobId, message });
  if (!explained.ok || explained.value.ok) return failure;
  const { text, isCertain } = explained.value;
  return fail(NETWORK_BROKEN, `${text} It showed as: ${message}`, isCertain ? "never" : retry);
}

/** After a job that failed as if the network were broken: its worker looks, or nobody can. */
export function* examineEnding(
  run: Run,
  patient: Patient,
  look: Look,
  ending: Ending,
): Steps<Ending> {
  const { outcome, unwell } = ending;
  if (outcome.ok || !mayBeNetwork(outcome.error.code)) return ending;
  if (unwell !== undefined)
    return { unwell, outcome: yield* explainFailure(run, patient.jobId, outcome) };
  const looked = yield* lookAtNetwork(run, patient, { ...look, force: true });
  if (looked.outcome.ok) return ending;
  const { code, message } = looked.outcome.error;
  if (code === NETWORK_BROKEN) {
    const text = `${message} It showed as: ${outcome.error.message}`;
    return { outcome: fail(NETWORK_BROKEN, text) };
  }
  return { ...looked, outcome: yield* explainFailure(run, patient.jobId, outcome) };
}

export interface DoctorRunInput extends Patient {
  readonly settings: RunSettings;
}

/** On demand: a session whose only job is the doctor's. Nothing is created or repaired before. */
export function* doctorRun(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const { settings, ...patient } = context.df.getInput<DoctorRunInput>();
  const run = createRun(context, settings, patient.sessionId);
  return yield* closing(run, patient.sessionId, function* () {
    const { jobId } = patient;
    const child: RunWorkerJobInput = { ...patient, settings };
    must(yield* callChild<WorkerJobValue>(run, ORCHESTRATORS.runWorkerJob, child, `job-${jobId}`));
    const verdict = yield* step(run, "conclude-doctor", { jobId });
    if (verdict.ok) return { state: "succeeded" };
    return must<never>(fail(NETWORK_BROKEN, verdict.text));
  });
}
