/** Has the private network of a region made before a backup needs it. */
import type { OrchestrationContext } from "durable-functions";
import type { Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { ensureRegion } from "./regions.ts";
import { closing, type Ending } from "./session-run.ts";
import { createRun, log, type Steps } from "./steps.ts";

export interface PrepareRegionInput {
  readonly sessionId: string;
  readonly location: string;
  readonly settings: RunSettings;
}

export function* prepareRegion(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const { sessionId, location, settings } = context.df.getInput<PrepareRegionInput>();
  const run = createRun(context, settings, sessionId);
  return yield* closing(run, sessionId, function* (): Steps<Ending> {
    yield* ensureRegion(run, { location });
    yield* log(run, "info", `the private network of ${location} is complete`);
    return { state: "succeeded" };
  });
}
