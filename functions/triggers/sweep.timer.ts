import { endSession } from "../activities/sessions.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
import { ORCHESTRATORS, SWEEP_INSTANCE_ID } from "../orchestrators/names.ts";
import type { SweepInput } from "../orchestrators/sweep.ts";

/** A session's row is written a moment before its orchestration exists. */
const START_GRACE_MS = 120_000;

/** Ends the sessions whose orchestration is over or lost, then sweeps what they left. */
export async function runSweepTick(
  context: AppContext,
  client: OrchestrationClient,
): Promise<void> {
  const { records, clock, events, config } = context;
  for await (const { id, value } of records.sessions.list()) {
    if (value.state !== "running") continue;
    const state = await client.stateOf(id);
    if (state === "running") continue;
    const ageMs = clock().getTime() - Date.parse(value.startedAt);
    if (state === "missing" && ageMs < START_GRACE_MS) continue;
    // It may have closed its session itself between the listing and the question.
    const now = await records.sessions.read(id);
    if (now?.value.state !== "running") continue;
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
