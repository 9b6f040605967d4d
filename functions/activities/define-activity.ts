import { failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { AppContext } from "../app-context.ts";
import type { ActivityInput, ActivityName, ActivityValues } from "./activity-contract.ts";
import { ACTIVITY_INPUTS } from "./activity-inputs.ts";

export interface ActivityDefinition<Name extends ActivityName = ActivityName> {
  readonly name: Name;
  /** Never throws: what goes wrong is the outcome. */
  run(context: AppContext, input: unknown): Promise<Outcome<ActivityValues[Name]>>;
}

/** Longest that one activity waits for Azure; the app's function timeout is above it. */
export const ACTIVITY_SECONDS_MAX = 240;

/** Wraps a step: parses its input, turns what it throws into an outcome. */
export function defineActivity<Name extends ActivityName>(
  name: Name,
  handler: (
    context: AppContext,
    input: ActivityInput<Name>,
    signal: AbortSignal,
  ) => Promise<ActivityValues[Name]>,
): ActivityDefinition<Name> {
  return {
    name,
    async run(context, raw) {
      try {
        const input = ACTIVITY_INPUTS[name].parse(raw) as ActivityInput<Name>;
        const signal = AbortSignal.timeout(ACTIVITY_SECONDS_MAX * 1000);
        return succeed(await handler(context, input, signal));
      } catch (error) {
        const failure = failureOf(error);
        context.events.activityFailed({ activity: name, ...failure.error });
        return failure;
      }
    },
  };
}
