import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import type { World } from "./test-world.ts";

/** Runs a session that prepares a region's network; answers the session as it ended. */
export async function prepareRegion(
  { context, driver }: World,
  sessionId: string,
  location: string,
) {
  await context.records.sessions.insert(sessionId, {
    sessionId,
    type: "region",
    state: "running",
    trigger: "manual",
    startedAt: context.clock().toISOString(),
    location,
  });
  const input = { sessionId, location, settings: context.config.run };
  await driver.run(ORCHESTRATORS.prepareRegion, sessionId, input);
  return context.records.sessions.get(sessionId);
}
