import { claimIdOf } from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";

/** Claims, log and end of sessions. */
export const claimBackup = defineActivity("claim-backup", async (context, input) => {
  const { records, clock } = context;
  const startedAt = clock().toISOString();
  const { sessionId, vmId } = input;
  await records.sessions.insert(sessionId, {
    sessionId,
    type: "backup",
    state: "running",
    trigger: input.trigger,
    startedAt,
    vmId,
    vmName: input.vmName,
    repositoryId: input.repositoryId,
    jobId: sessionId,
    ...(input.policyId === undefined ? {} : { policyId: input.policyId }),
    ...(input.parentSessionId === undefined ? {} : { parentSessionId: input.parentSessionId }),
  });
  const session = await records.sessions.get(sessionId);
  if (session.state !== "running")
    return { claimed: false, reason: `the session ended as ${session.state} before` };
  const holder = await claim(context, vmId, sessionId);
  if (holder === sessionId) return { claimed: true };
  return { claimed: false, reason: `session ${holder} is backing up this VM` };
});

/** One run of each kind at a time in a repository. */
export const claimRepository = defineActivity("claim-repository", async (context, input) => {
  const { records, clock } = context;
  const { sessionId, ...fields } = input;
  const startedAt = clock().toISOString();
  await records.sessions.insert(sessionId, {
    sessionId,
    state: "running",
    startedAt,
    jobId: sessionId,
    ...fields,
  });
  const session = await records.sessions.get(sessionId);
  if (session.state !== "running")
    return { claimed: false, reason: `the session ended as ${session.state} before` };
  const claimId = claimIdOf(session);
  const holder = claimId === undefined ? sessionId : await claim(context, claimId, sessionId);
  if (holder === sessionId) return { claimed: true };
  return { claimed: false, reason: `session ${holder} is doing this in the repository` };
});

/** Answers the session that holds the object now: this one, or one that is still running. */
async function claim(context: AppContext, claimId: string, sessionId: string): Promise<string> {
  const { records, clock } = context;
  const wanted = { sessionId, claimedAt: clock().toISOString() };
  if ((await records.claims.insert(claimId, wanted)) === "inserted") return sessionId;
  const held = await records.claims.read(claimId);
  if (held === undefined) return claim(context, claimId, sessionId);
  if (held.value.sessionId === sessionId) return sessionId;
  const holder = await records.sessions.read(held.value.sessionId);
  if (holder?.value.state === "running") return held.value.sessionId;
  // The holder is over and did not give the claim back: it is taken over.
  const taken = await records.claims.put(claimId, wanted, { ifVersion: held.version });
  return taken === "written" ? sessionId : claim(context, claimId, sessionId);
}

/**
 * Gives back what a session claimed and ends it. Only the first end counts. In this order, because the
 * claim of a session that is over may be taken by another at any moment; and with both the object is
 * free once the session shows an end.
 */
export async function endSession(
  context: AppContext,
  sessionId: string,
  end: {
    readonly state: "succeeded" | "warning" | "failed" | "skipped";
    readonly reason?: string | undefined;
    readonly errorCode?: string | undefined;
    readonly counts?: { succeeded: number; warning: number; failed: number; skipped: number };
  },
): Promise<void> {
  const { records, clock, events } = context;
  const endedAt = clock().toISOString();
  const running = await records.sessions.read(sessionId);
  if (running?.value.state !== "running") return;
  const claimId = claimIdOf(running.value);
  if (claimId !== undefined) {
    const held = await records.claims.read(claimId);
    if (held?.value.sessionId === sessionId) await records.claims.delete(claimId);
  }
  await records.sessions.update(sessionId, (before) =>
    before.state === "running"
      ? {
          ...before,
          state: end.state,
          endedAt,
          ...(end.reason === undefined ? {} : { reason: end.reason }),
          ...(end.errorCode === undefined
            ? {}
            : { error: { code: end.errorCode, message: end.reason ?? end.errorCode } }),
          ...(end.counts === undefined ? {} : { counts: end.counts }),
        }
      : undefined,
  );
  const { retrievalId } = running.value;
  if (retrievalId !== undefined && end.state === "failed")
    await records.retrievals.update(retrievalId, (retrieval) =>
      retrieval.state === "retrieving" ? { ...retrieval, state: "failed" } : undefined,
    );
  events.sessionClosed({ sessionId, state: end.state, reason: end.reason });
}

export const closeSession = defineActivity("close-session", async (context, input) => {
  const { sessionId, counts, ...end } = input;
  await endSession(context, sessionId, { ...end, ...(counts === undefined ? {} : { counts }) });
  return {};
});

/** Digits of the number that orders lines of the same instant. */
const LOG_NUMBER_DIGITS = 6;

export const appendLog = defineActivity("append-log", async (context, input) => {
  const { sessionId, at, number, level, message } = input;
  const id = `${at.replaceAll(/[-:]/g, "")}-${String(number).padStart(LOG_NUMBER_DIGITS, "0")}`;
  await context.records.sessionLog(sessionId).insert(id, { at, level, message });
  return {};
});
