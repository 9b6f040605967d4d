import { messageOf } from "#core/lib/errors.ts";
import { ACTIVITY_SECONDS_MAX, defineActivity } from "./define-activity.ts";
import { removeRestored } from "./restores.ts";

/** After this time no activity of an ended session can still be making something. */
const LATE_MS = ACTIVITY_SECONDS_MAX * 1000;

/**
 * Removes what restores left that ended without success, one request per object and sweep. The
 * ledger's row goes when nothing is left and nothing can come any more.
 */
export const sweepRestores = defineActivity("sweep-restores", async (context) => {
  const { records, clock, events } = context;
  let openCount = 0;
  for await (const { id: sessionId } of records.restorations.list()) {
    const session = (await records.sessions.read(sessionId))?.value;
    if (session?.state === "running") continue;
    if (session === undefined || session.state === "succeeded") {
      await records.restorations.delete(sessionId);
      continue;
    }
    openCount++;
    try {
      const { ready } = await removeRestored(context, sessionId);
      if (!ready) events.restoreSwept({ sessionId });
      const endedMs = Date.parse(session.endedAt ?? session.startedAt);
      if (ready && clock().getTime() - endedMs > LATE_MS)
        await records.restorations.delete(sessionId);
    } catch (error) {
      events.sweepFailed({ resourceId: sessionId, message: messageOf(error) });
    }
  }
  return { openCount };
});
