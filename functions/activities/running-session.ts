import { HoldfastError } from "#core/lib/errors.ts";
import type { Session } from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";
import { SESSION_OVER } from "../orchestrators/names.ts";

/**
 * What makes something for a session asks first whether the session still runs. Terminating an
 * orchestration does not end its children, and an activity that was lost with its host comes back
 * minutes later: neither may make anew what the sweep has removed.
 *
 * Throws `HoldfastError` code `SessionOver` when the session has ended.
 */
export async function getRunningSession(context: AppContext, sessionId: string): Promise<Session> {
  const session = await context.records.sessions.get(sessionId);
  if (session.state !== "running")
    throw new HoldfastError(
      SESSION_OVER,
      `Session '${sessionId}' has ended (${session.state}): nothing more is done for it.`,
    );
  return session;
}

/** A session that is unknown does not run: its row is there before anything is made for it. */
export async function isRunning(context: AppContext, sessionId: string): Promise<boolean> {
  const session = await context.records.sessions.read(sessionId);
  return session?.value.state === "running";
}
