/**
 * The life of an agent: make a key pair, enrol with its public half, then take one job after the
 * other from the worker's queue until told to stop. A *heartbeat* says that the agent lives, busy or
 * idle; the control plane gives the job of a silent worker to another one. A job's message is deleted
 * as soon as the job is taken: it is never done twice by this worker, and redispatch is the control
 * plane's decision alone.
 *
 * Invariants: one job at a time; the private key never leaves the process; a result is sent until the
 * queue has accepted it.
 */
import { exportJWK, generateKeyPair, type CryptoKey } from "jose";
import { codeOf, isRetryable, messageOf } from "#core/lib/errors.ts";
import type { ReceivedMessage, WorkerChannel } from "#core/ports/worker-channel.ts";
import type { Job } from "#core/protocol/job.ts";
import {
  workerEventBodySchema,
  type JobResult,
  type WorkerEventBody,
} from "#core/protocol/worker-event.ts";
import type { Clock } from "./clock.ts";
import type { EventSender } from "./event-sender.ts";
import type { AgentEvents } from "./events.ts";
import { JobIntake } from "./job-intake.ts";
import { ProgressBoard } from "./progress-board.ts";
import { redact } from "./redaction.ts";

export interface Agent {
  readonly workerId: string;
  readonly agentVersion: string;
  readonly heartbeatMs: number;
  readonly channel: WorkerChannel;
  readonly sender: EventSender;
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly memoryBytes: () => number;
  readonly runJob: (job: Job, board: ProgressBoard, signal: AbortSignal) => Promise<JobResult>;
}

const POLL_DELAY_MIN_MS = 200;
const POLL_DELAY_MAX_MS = 2_000;
const PROGRESS_INTERVAL_MS = 2_000;
/** Time to open a job and delete its message before the queue shows it again. */
const TAKEOVER_SECONDS = 60;
/** What a stopping agent may take to say so; the service manager kills it after 30 s. */
const FAREWELL_MS = 10_000;

/** Runs until `signal` aborts; a job that runs then is given up and reported as failed. */
export async function runAgent(agent: Agent, signal: AbortSignal): Promise<void> {
  const keys = await generateKeyPair("ECDH-ES", { crv: "P-256" });
  const enrolment = await enrolmentOf(keys.publicKey, agent.agentVersion);
  const intake = new JobIntake({
    workerId: agent.workerId,
    privateKey: keys.privateKey,
    channel: agent.channel,
    now: () => agent.clock.now(),
  });
  agent.events.agentStarted(agent.agentVersion);
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  // Acknowledged by behaviour: who sends a job has seen the key.
  const state = { isEnrolled: false };
  const beats = beat(agent, enrolment, state, inner);
  try {
    await takeJobs(agent, intake, state, inner);
  } finally {
    stop.abort();
    await beats;
    agent.events.agentStopped();
  }
}

async function enrolmentOf(publicKey: CryptoKey, agentVersion: string): Promise<WorkerEventBody> {
  const { kty, crv, x, y } = await exportJWK(publicKey);
  return workerEventBodySchema.parse({
    kind: "enrolled",
    publicKey: { kty, crv, x, y },
    agentVersion,
  });
}

async function beat(
  agent: Agent,
  enrolment: WorkerEventBody,
  state: { readonly isEnrolled: boolean },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    if (!state.isEnrolled) await agent.sender.trySend(enrolment, signal);
    const memoryBytes = agent.memoryBytes();
    await agent.sender.trySend({ kind: "heartbeat", memoryBytes }, signal);
    await agent.clock.sleep(agent.heartbeatMs, signal);
  }
}

async function takeJobs(
  agent: Agent,
  intake: JobIntake,
  state: { isEnrolled: boolean },
  signal: AbortSignal,
): Promise<void> {
  let delayMs = POLL_DELAY_MIN_MS;
  while (!signal.aborted) {
    const job = await takeOne(agent, intake, signal);
    if (job === undefined) {
      await agent.clock.sleep(delayMs, signal);
      delayMs = Math.min(delayMs * 2, POLL_DELAY_MAX_MS);
      continue;
    }
    delayMs = POLL_DELAY_MIN_MS;
    state.isEnrolled = true;
    await carryOut(agent, job, signal);
  }
}

/** The next job that is meant for this worker; undefined when there is none now. */
async function takeOne(
  agent: Agent,
  intake: JobIntake,
  signal: AbortSignal,
): Promise<Job | undefined> {
  const { channel, events } = agent;
  try {
    const message = await channel.receiveJob(TAKEOVER_SECONDS, signal);
    if (message === undefined) return undefined;
    const taken = await intake.take(message, signal);
    await forget(agent, message, signal);
    if (taken.kind === "job") return taken.job;
    // Nobody is told: what cannot be opened cannot be attributed to a job of this worker.
    events.jobRefused(taken.jobId, taken.why);
  } catch (error) {
    if (!signal.aborted) events.queueUnreachable(error);
  }
  return undefined;
}

/** A message that could not be deleted comes back and is refused as taken before. */
async function forget(agent: Agent, message: ReceivedMessage, signal: AbortSignal): Promise<void> {
  try {
    await agent.channel.deleteJob(message, signal);
  } catch (error) {
    agent.events.queueUnreachable(error);
  }
}

async function carryOut(agent: Agent, job: Job, signal: AbortSignal): Promise<void> {
  const { sender, events, clock } = agent;
  const ofJob = { jobId: job.jobId, attempt: job.attempt };
  const startedMs = clock.now().getTime();
  events.jobAccepted(job);
  const board = new ProgressBoard();
  const done = new AbortController();
  const reports = reportProgress(agent, ofJob, board, AbortSignal.any([signal, done.signal]));
  let outcome: WorkerEventBody;
  try {
    const result = await agent.runJob(job, board, signal);
    outcome = { kind: "job-succeeded", ...ofJob, result };
    events.jobSucceeded(job, clock.now().getTime() - startedMs);
  } catch (error) {
    events.jobFailed(job, error);
    outcome = { kind: "job-failed", ...ofJob, error: reportedError(error, signal) };
  }
  done.abort();
  await reports;
  await sender.sendUntilAccepted(outcome, farewellSignal(signal));
}

async function reportProgress(
  agent: Agent,
  ofJob: { readonly jobId: string; readonly attempt: number },
  board: ProgressBoard,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await agent.clock.sleep(PROGRESS_INTERVAL_MS, signal);
    const disks = signal.aborted ? undefined : board.takeNews();
    if (disks !== undefined) {
      await agent.sender.trySend({ kind: "progress", ...ofJob, disks }, signal);
    }
  }
}

function reportedError(error: unknown, signal: AbortSignal) {
  if (signal.aborted) {
    const message = "The worker was told to stop. The job can be given to another worker.";
    return { code: "WorkerStopped", message, retry: "backoff" } as const;
  }
  const retry = isRetryable(error) ? ("backoff" as const) : ("never" as const);
  return { code: codeOf(error), message: redact(messageOf(error)), retry };
}

/** Never aborts while the agent runs; once it is told to stop, the rest has a bounded time. */
function farewellSignal(stop: AbortSignal): AbortSignal {
  const farewell = new AbortController();
  const leave = (): void => {
    // The timer does not keep the process alive.
    setTimeout(() => farewell.abort(), FAREWELL_MS).unref();
  };
  if (stop.aborted) leave();
  else stop.addEventListener("abort", leave, { once: true });
  return farewell.signal;
}
