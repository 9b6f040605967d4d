/**
 * The agent's log: one JSON line per business event, one function per event. Ids and counts only;
 * every text passes the redaction. What the control plane is told are protocol events, see
 * `event-sender.ts`.
 */
import { codeOf, messageOf } from "#core/lib/errors.ts";
import type { Job } from "#core/protocol/job.ts";
import { redact } from "./redaction.ts";

type Fields = Readonly<Record<string, string | number | boolean>>;

export interface AgentEventsOptions {
  readonly workerId: string;
  readonly now: () => Date;
  readonly writeLine: (line: string) => void;
}

export type AgentEvents = ReturnType<typeof createAgentEvents>;

export function createAgentEvents({ workerId, now, writeLine }: AgentEventsOptions) {
  function log(event: string, fields: Fields = {}): void {
    const redacted = Object.entries(fields).map(
      ([name, value]) => [name, typeof value === "string" ? redact(value) : value] as const,
    );
    const line = { at: now().toISOString(), event, workerId, ...Object.fromEntries(redacted) };
    writeLine(JSON.stringify(line));
  }

  return {
    agentStarted: (agentVersion: string) => log("agent-started", { agentVersion }),
    agentStopped: () => log("agent-stopped"),
    jobAccepted: (job: Job) => log("job-accepted", fieldsOf(job)),
    jobRefused: (jobId: string, why: string) => log("job-refused", { jobId, why }),
    jobSucceeded: (job: Job, durationMs: number) =>
      log("job-succeeded", { ...fieldsOf(job), durationMs }),
    jobFailed: (job: Job, error: unknown) =>
      log("job-failed", { ...fieldsOf(job), code: codeOf(error), message: messageOf(error) }),
    queueUnreachable: (error: unknown) =>
      log("queue-unreachable", { code: codeOf(error), message: messageOf(error) }),
    eventNotSent: (kind: string, error: unknown) =>
      log("event-not-sent", { kind, code: codeOf(error), message: messageOf(error) }),
  };
}

function fieldsOf(job: Job): Fields {
  const { jobId, attempt, kind } = job;
  if (job.kind === "doctor") return { jobId, attempt, kind, probeCount: job.probes.length };
  const { repositoryId } = job.repository;
  const subject = "pointId" in job ? { pointId: job.pointId } : {};
  if (job.kind === "backup") return { jobId, attempt, kind, ...subject, vmId: job.vm.vmId };
  if ("vmId" in job) return { jobId, attempt, kind, ...subject, vmId: job.vmId };
  return { jobId, attempt, kind, repositoryId };
}
