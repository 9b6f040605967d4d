import { HoldfastError } from "#core/lib/errors.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import { INLINE_SEALED_BYTES_MAX, type JobMessage } from "#core/protocol/job.ts";
import { sealJob } from "#core/protocol/sealing.ts";
import { buildJob } from "./build-job.ts";
import { repositoryIdsOf } from "./doctor-view.ts";
import { defineActivity } from "./define-activity.ts";
import { createGrants } from "./grants.ts";
import { readResumePoints } from "./resume-points.ts";
import { getRunningSession } from "./running-session.ts";
import { jobBlobPrefix } from "./workers.ts";
import { whyGone } from "./worker-vm-state.ts";

/** Dispatch of a job, and what became of it. */
/** Longest time that Azure keeps a queue message that names no other. */
const MESSAGE_SECONDS_MAX = 7 * 24 * 3600;
/** A heartbeat may be late by half its interval. */
const HEARTBEATS_MISSED = 1.5;

/** Whether this dispatch is still to be sent: not when it was, is over, or a later one was made. */
function needsDispatch(job: JobRecord, attempt: number): boolean {
  if (job.attempt !== attempt) return job.attempt < attempt;
  return job.state === "dispatched" && job.sentAt === undefined;
}

export const dispatchJob = defineActivity("dispatch-job", async (context, input, signal) => {
  const { records, staging, config, clock, events } = context;
  const { jobId, attempt, workerId } = input;
  const now = clock().toISOString();
  const before = await records.jobs.get(jobId);
  await getRunningSession(context, before.sessionId);
  const resumeAt = await readResumePoints(context, before);
  const record = await records.jobs.update(jobId, (job) => {
    if (!needsDispatch(job, attempt)) return undefined;
    // A crash came between sending and noting, or the other of two runs is at it: what the worker
    // told since is kept.
    if (job.attempt === attempt && job.state === "dispatched") return { ...job, workerId };
    const { sentAt: _sent, error: _error, finishedAt: _finished, ...rest } = job;
    return {
      ...rest,
      ...(resumeAt === undefined ? {} : { resumeAt }),
      state: "dispatched",
      attempt,
      workerId,
      dispatchedAt: now,
      progress: [],
      progressSequence: -1,
    };
  });
  if (record === undefined) throw new HoldfastError("JobNotFound", `There is no job '${jobId}'.`);
  if (record.attempt > attempt)
    throw new HoldfastError("JobSuperseded", `Dispatch ${attempt} of job '${jobId}' is over.`);
  if (!needsDispatch(record, attempt)) return { sent: false };

  // The job is noted with the worker before the key is taken: an agent that starts anew from here on
  // is seen to have lost this job, one that started before has its new key here.
  const worker = await records.workers.update(workerId, (each) => ({
    ...each,
    state: "busy",
    stateAt: each.state === "busy" ? each.stateAt : now,
    dispatch: { jobId, attempt, sealedTo: each.publicKey?.x },
  }));
  if (worker?.publicKey === undefined)
    throw new HoldfastError("WorkerNotEnrolled", `Worker ${workerId} has not enrolled.`, {
      retry: "backoff",
    });
  if (worker.keyLostAt !== undefined)
    throw new HoldfastError("AgentRestarted", `The agent on ${workerId} started anew.`, {
      retry: "backoff",
    });
  for (const repositoryId of repositoryIdsOf(record.spec)) {
    const target = await records.repositories.get(repositoryId);
    await staging.ensureContainer(target.blobServiceUrl, target.container);
  }
  const grant = createGrants(context, record, signal);
  const job = await buildJob(context, record, attempt, workerId, grant);
  const sealed = await sealJob(job, worker.publicKey);
  let message: JobMessage = { carrier: "inline", jobId, sealed };
  if (sealed.length > INLINE_SEALED_BYTES_MAX) {
    const blobName = `${jobBlobPrefix(workerId)}${jobId}-${attempt}`;
    await staging.writeJobBlob(worker.blobServiceUrl, blobName, sealed);
    message = { carrier: "blob", jobId, blobName };
  }
  await staging.sendMessage(
    worker.queueServiceUrl,
    worker.queueName,
    JSON.stringify(message),
    Math.min(config.sasSeconds, MESSAGE_SECONDS_MAX),
  );
  await records.jobs.update(jobId, (each) =>
    each.attempt === attempt ? { ...each, sentAt: clock().toISOString() } : undefined,
  );
  events.jobDispatched({ jobId, attempt, workerId });
  return { sent: true };
});

/** What the tables know of a dispatch; also says who wants to hear of its end. */
export const readJobState = defineActivity("read-job-state", async (context, input) => {
  const { records, clock, config } = context;
  const { jobId, attempt, waiterInstanceId } = input;
  await getRunningSession(context, (await records.jobs.get(jobId)).sessionId);
  const job = await records.jobs.update(jobId, (each) =>
    each.waiterInstanceId === waiterInstanceId ? undefined : { ...each, waiterInstanceId },
  );
  if (job === undefined || job.attempt !== attempt)
    throw new HoldfastError("JobSuperseded", `Dispatch ${attempt} of job '${jobId}' is over.`);
  if (job.state === "succeeded") return { state: "succeeded" as const };
  if (job.state === "failed") {
    const unknown = { code: "Unexpected", message: "no reason given", retry: "never" } as const;
    return { state: "failed" as const, error: job.error ?? unknown };
  }
  const worker = job.workerId === undefined ? undefined : await records.workers.read(job.workerId);
  // A worker that was idle for long may take a while to say something of its new job.
  const lastSign = [worker?.value.lastSeenAt, job.dispatchedAt]
    .flatMap((each) => (each === undefined ? [] : [Date.parse(each)]))
    .reduce((left, right) => Math.max(left, right), 0);
  const silentSeconds = Math.max(0, Math.round((clock().getTime() - lastSign) / 1000));
  // One look at Azure where a heartbeat is missing: an evicted worker is noticed before it is lost.
  if (worker !== undefined && silentSeconds > config.worker.heartbeatSeconds * HEARTBEATS_MISSED) {
    // Azure does not tell now: the silence will.
    const reason = await whyGone(context, worker.value).catch(() => undefined);
    const wasSpot = worker.value.launch.priority === "spot";
    if (reason !== undefined) return { state: "gone" as const, wasSpot, reason };
  }
  return { state: "running" as const, silentSeconds };
});
