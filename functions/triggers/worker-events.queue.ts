import { HoldfastError } from "#core/lib/errors.ts";
import { redact } from "#core/model/outcome.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import {
  claimedWorkerOf,
  deriveWorkerSecret,
  verifyEvent,
} from "#core/protocol/event-authentication.ts";
import type { WorkerRecord } from "#core/model/worker-record.ts";
import type { WorkerEvent } from "#core/protocol/worker-event.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
import { JOB_FINISHED_EVENT } from "../orchestrators/names.ts";
import { takePointsAffected } from "./points-affected.ts";
import { takePointPart, takePointsFound } from "./points-found.ts";

/**
 * Takes in what workers tell. The tables are written before the orchestration is woken, so that a
 * lost wake-up costs one poll. A forged or unreadable message is dropped with an event; it is never
 * tried again. Every change can be repeated and comes out the same in any order.
 */
export async function handleWorkerEvent(
  context: AppContext,
  client: OrchestrationClient,
  message: unknown,
): Promise<void> {
  const { config, records, clock, events } = context;
  const parsed = jsonOf(message);
  let event: WorkerEvent;
  try {
    const claimed = claimedWorkerOf(parsed);
    const known = claimed === undefined ? undefined : await records.workers.read(claimed);
    const generation = known?.value.generation ?? 1;
    event = verifyEvent(parsed, (workerId) =>
      deriveWorkerSecret(config.masterKey, workerId, generation),
    );
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    events.eventDropped({ code: error.code, message: error.message });
    return;
  }
  const lastSeenAt = clock().toISOString();
  const worker = await records.workers.update(event.workerId, (before) => ({
    ...afterEnrolment(before, event, lastSeenAt),
    lastSeenAt,
  }));
  if (worker === undefined) {
    const message = `worker ${event.workerId} is not known any more`;
    events.eventDropped({ code: "UnknownWorker", message });
    return;
  }
  if (worker.dispatch !== undefined && worker.keyLostAt !== undefined)
    await failLostJob(context, client, worker.workerId, worker.dispatch);
  const { body } = event;
  if (body.kind === "enrolled" && body.publicKey.x !== worker.publicKey?.x) {
    const message = `${worker.workerId} has enrolled before: its secret is good for one key`;
    events.eventDropped({ code: "EnrolmentUsed", message });
    return;
  }
  await applyBody(context, client, event);
}

/**
 * A worker enrols once per start. The same key again is a replay and changes nothing; another one is
 * refused: the agent has started anew, or somebody else has its secret. Either way what was sealed to
 * the first key is lost, and the worker is not used any more. An enrolment that is older than the one
 * that counts comes from an agent that never had a job.
 */
function afterEnrolment(
  before: WorkerRecord,
  { body, sentAt }: WorkerEvent,
  now: string,
): WorkerRecord {
  if (body.kind !== "enrolled") return before;
  const { publicKey, agentVersion } = body;
  if (before.publicKey === undefined)
    return { ...before, enrolledAt: sentAt, publicKey, agentVersion };
  const isOther = before.publicKey.x !== publicKey.x;
  const isOlder = before.enrolledAt !== undefined && sentAt < before.enrolledAt;
  return isOther && !isOlder ? { ...before, keyLostAt: before.keyLostAt ?? now } : before;
}

/**
 * An agent that has another key than the one that enrolled has started anew: it has forgotten the job
 * that it had and cannot open the message again. Its heartbeats go on, so nobody else would notice.
 */
async function failLostJob(
  { records, clock, events }: AppContext,
  client: OrchestrationClient,
  workerId: string,
  { jobId, attempt }: { readonly jobId: string; readonly attempt: number },
): Promise<void> {
  const finishedAt = clock().toISOString();
  const message = `The agent on ${workerId} started anew and lost the job.`;
  const error = { code: "AgentRestarted", message, retry: "backoff" } as const;
  const job = await records.jobs.update(jobId, (before) =>
    isCurrent(before, workerId, attempt)
      ? { ...before, state: "failed", error, finishedAt }
      : undefined,
  );
  if (job?.error?.code === error.code) events.jobReported({ jobId, attempt, outcome: error.code });
  await wake(client, job);
}

/** The host parses JSON where it can; what is text still is parsed here. */
function jsonOf(message: unknown): unknown {
  if (typeof message !== "string") return message;
  try {
    return JSON.parse(message);
  } catch {
    return undefined;
  }
}

async function applyBody(
  context: AppContext,
  client: OrchestrationClient,
  { workerId, sequence, body }: WorkerEvent,
): Promise<void> {
  const { records, clock, events } = context;
  const now = clock().toISOString();
  switch (body.kind) {
    case "enrolled":
      events.workerEnrolled({ workerId, agentVersion: body.agentVersion });
      return;
    case "heartbeat":
      return;
    case "points-found":
      await takePointsFound(context, workerId, body);
      return;
    case "point-part":
      await takePointPart(context, workerId, body);
      return;
    case "points-affected":
      await takePointsAffected(context, workerId, body);
      return;
    case "progress":
      await records.jobs.update(body.jobId, (job) =>
        isCurrent(job, workerId, body.attempt) && job.progressSequence < sequence
          ? { ...job, progress: body.disks, progressAt: now, progressSequence: sequence }
          : undefined,
      );
      return;
    case "job-succeeded": {
      const { jobId, attempt, result } = body;
      const job = await records.jobs.update(jobId, (before) =>
        isCurrent(before, workerId, attempt)
          ? { ...before, state: "succeeded", result, finishedAt: now }
          : undefined,
      );
      events.jobReported({ jobId, attempt, outcome: "succeeded" });
      await wake(client, job);
      return;
    }
    case "job-failed": {
      const { jobId, attempt } = body;
      const error = { ...body.error, message: redact(body.error.message) };
      const job = await records.jobs.update(jobId, (before) =>
        isCurrent(before, workerId, attempt)
          ? { ...before, state: "failed", error, finishedAt: now }
          : undefined,
      );
      events.jobReported({ jobId, attempt, outcome: error.code });
      await wake(client, job);
    }
  }
}

/** What an earlier dispatch, or its worker, still has to say is of no interest. */
function isCurrent(job: JobRecord, workerId: string, attempt: number): boolean {
  return job.state === "dispatched" && job.attempt === attempt && job.workerId === workerId;
}

async function wake(client: OrchestrationClient, job: JobRecord | undefined): Promise<void> {
  if (job?.waiterInstanceId === undefined) return;
  if (job.state !== "succeeded" && job.state !== "failed") return;
  try {
    await client.raiseEvent(job.waiterInstanceId, JOB_FINISHED_EVENT, { attempt: job.attempt });
  } catch {
    // The waiter may be over, or between two windows; it polls the tables in any case.
  }
}
