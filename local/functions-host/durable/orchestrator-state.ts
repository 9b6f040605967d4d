/**
 * What the durable-functions library answers when an orchestrator function was called: all actions
 * since the start of this execution (not the new ones only), and how the function ended.
 * Source: `OrchestratorState` and `actions/*` of durable-functions 3.5.0.
 */
import { z } from "zod";

export const actionTypes = {
  callActivity: 0,
  callActivityWithRetry: 1,
  callSubOrchestrator: 2,
  callSubOrchestratorWithRetry: 3,
  continueAsNew: 4,
  createTimer: 5,
  waitForExternalEvent: 6,
  callEntity: 7,
  callHttp: 8,
  signalEntity: 9,
  whenAny: 11,
  whenAll: 12,
} as const;

const retryOptionsSchema = z.object({
  firstRetryIntervalInMilliseconds: z.number(),
  maxNumberOfAttempts: z.int(),
  backoffCoefficient: z.number().optional(),
  maxRetryIntervalInMilliseconds: z.number().optional(),
  retryTimeoutInMilliseconds: z.number().optional(),
});
export type RetryOptions = z.infer<typeof retryOptionsSchema>;

const call = { functionName: z.string(), input: z.unknown().optional() };
const subOrchestration = {
  ...call,
  instanceId: z.string().optional(),
  version: z.string().nullish(),
};
const entityCall = { instanceId: z.string(), operation: z.string(), input: z.unknown().optional() };

const simpleActionSchema = z.discriminatedUnion("actionType", [
  z.object({ actionType: z.literal(actionTypes.callActivity), ...call }),
  z.object({
    actionType: z.literal(actionTypes.callActivityWithRetry),
    ...call,
    retryOptions: retryOptionsSchema,
  }),
  z.object({ actionType: z.literal(actionTypes.callSubOrchestrator), ...subOrchestration }),
  z.object({
    actionType: z.literal(actionTypes.callSubOrchestratorWithRetry),
    ...subOrchestration,
    retryOptions: retryOptionsSchema,
  }),
  z.object({ actionType: z.literal(actionTypes.continueAsNew), input: z.unknown().optional() }),
  z.object({
    actionType: z.literal(actionTypes.createTimer),
    fireAt: z.string(),
    isCanceled: z.boolean(),
  }),
  z.object({
    actionType: z.literal(actionTypes.waitForExternalEvent),
    externalEventName: z.string(),
  }),
  z.object({ actionType: z.literal(actionTypes.callEntity), ...entityCall }),
  z.object({ actionType: z.literal(actionTypes.callHttp) }),
  z.object({ actionType: z.literal(actionTypes.signalEntity), ...entityCall }),
]);

export interface CompoundAction {
  readonly actionType: typeof actionTypes.whenAny | typeof actionTypes.whenAll;
  readonly compoundActions: OrchestratorAction[];
}
export type OrchestratorAction = z.infer<typeof simpleActionSchema> | CompoundAction;

const actionSchema: z.ZodType<OrchestratorAction> = z.lazy(() =>
  z.union([
    simpleActionSchema,
    z.object({
      actionType: z.union([z.literal(actionTypes.whenAny), z.literal(actionTypes.whenAll)]),
      compoundActions: z.array(actionSchema),
    }),
  ]),
);

export const orchestratorStateSchema = z.object({
  isDone: z.boolean(),
  actions: z.array(z.array(actionSchema)),
  output: z.unknown().optional(),
  error: z.string().optional(),
  customStatus: z.unknown().optional(),
  schemaVersion: z.int().optional(),
  failureDetails: z.unknown().optional(),
});
export type OrchestratorState = z.infer<typeof orchestratorStateSchema>;

/** How one call of an orchestrator function ended. */
export type OrchestratorReply =
  | { readonly kind: "state"; readonly state: OrchestratorState; readonly stack: string }
  | { readonly kind: "crashed"; readonly message: string; readonly stack: string };
