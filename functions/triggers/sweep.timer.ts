import { endSession } from "../activities/sessions.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
import { ORCHESTRATORS, SWEEP_INSTANCE_ID } from "../orchestrators/names.ts";
import type { SweepInput } from "../orchestrators/sweep.ts";

/** A session's row is written a moment before its orchestration is started. */
const START_GRACE_MS = 120_000;

/** Ends the sessions whose orchestration is over or lost, then sweeps what they left. */
export async function runSweepTick(
  context: AppContext,
  client: OrchestrationClient,
): Promise<void> {
  const { records, clock, events, config } = context;
  for await (const { id, value } of records.sessions.list()) {
    if (value.state !== "running") continue;
    if (clock().getTime() - Date.parse(value.startedAt) < START_GRACE_MS) continue;
    const state = await client.stateOf(id);
    if (state === "running") continue;
    const reason =
      state === "over"
        ? "its orchestration ended without closing the session"
        : "its orchestration does not exist";
    await endSession(context, id, { state: "failed", reason, errorCode: "OrchestrationLost" });
    events.sessionSwept({ sessionId: id, reason });
  }
  const input: SweepInput = { settings: config.run };
  await client.startUnlessRunning(ORCHESTRATORS.sweep, SWEEP_INSTANCE_ID, input);
}
