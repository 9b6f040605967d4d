import { redact } from "#core/model/outcome.ts";

/**
 * Business events of the control plane: one JSON line each, one function each. Nothing secret gets
 * through: every text is redacted, and no function takes a SAS or a token.
 */
type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Events {
  policyDue(fields: { policyId: string; slot: string; reasons: string }): void;
  backupRequested(fields: { sessionId: string; vmId: string }): void;
  repositoryRunRequested(fields: { sessionId: string; repositoryId: string }): void;
  regionRequested(fields: { sessionId: string; location: string }): void;
  restoreRequested(fields: { sessionId: string; restorePointId: string }): void;
  sessionClosed(fields: { sessionId: string; state: string; reason: string | undefined }): void;
  activityFailed(fields: { activity: string; code: string; message: string; retry: string }): void;
  workerRegistered(fields: { workerId: string; location: string }): void;
  workerEnrolled(fields: { workerId: string; agentVersion: string }): void;
  workerRemoved(fields: { workerId: string }): void;
  jobDispatched(fields: { jobId: string; attempt: number; workerId: string }): void;
  jobReported(fields: { jobId: string; attempt: number; outcome: string }): void;
  eventDropped(fields: { code: string; message: string }): void;
  requestRefused(fields: { reason: string }): void;
  requestFailed(fields: { route: string; message: string }): void;
  grantSwept(fields: { jobId: string; resourceId: string }): void;
  snapshotSwept(fields: { snapshotId: string; reason: string }): void;
  sessionSwept(fields: { sessionId: string; reason: string }): void;
  restoreSwept(fields: { sessionId: string }): void;
  straySwept(fields: { resourceId: string }): void;
  doctorRequested(fields: { sessionId: string; location: string }): void;
  networkChecked(fields: {
    location: string;
    ok: boolean;
    failedCount: number;
    probeCount: number;
  }): void;
  sweepFailed(fields: { resourceId: string; message: string }): void;
}

const LEVELS: Partial<Record<keyof Events, "warning" | "error">> = {
  activityFailed: "warning",
  eventDropped: "warning",
  requestRefused: "warning",
  requestFailed: "error",
  grantSwept: "warning",
  snapshotSwept: "warning",
  sessionSwept: "warning",
  restoreSwept: "warning",
  straySwept: "warning",
  sweepFailed: "warning",
};

/** @param write takes one line of JSON, without its line break */
export function createEvents(clock: () => Date, write: (line: string) => void): Events {
  const emit = (event: keyof Events) => (fields: Fields) => {
    const safe = Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [
        key,
        typeof value === "string" ? redact(value) : value,
      ]),
    );
    write(
      JSON.stringify({ at: clock().toISOString(), level: LEVELS[event] ?? "info", event, ...safe }),
    );
  };
  return {
    policyDue: emit("policyDue"),
    backupRequested: emit("backupRequested"),
    repositoryRunRequested: emit("repositoryRunRequested"),
    regionRequested: emit("regionRequested"),
    restoreRequested: emit("restoreRequested"),
    sessionClosed: emit("sessionClosed"),
    activityFailed: emit("activityFailed"),
    workerRegistered: emit("workerRegistered"),
    workerEnrolled: emit("workerEnrolled"),
    workerRemoved: emit("workerRemoved"),
    jobDispatched: emit("jobDispatched"),
    jobReported: emit("jobReported"),
    eventDropped: emit("eventDropped"),
    requestRefused: emit("requestRefused"),
    requestFailed: emit("requestFailed"),
    grantSwept: emit("grantSwept"),
    snapshotSwept: emit("snapshotSwept"),
    sessionSwept: emit("sessionSwept"),
    restoreSwept: emit("restoreSwept"),
    straySwept: emit("straySwept"),
    doctorRequested: emit("doctorRequested"),
    networkChecked: emit("networkChecked"),
    sweepFailed: emit("sweepFailed"),
  };
}
