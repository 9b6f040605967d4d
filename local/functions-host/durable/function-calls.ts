import type { KnownFunctions } from "./action-interpreter.ts";
import type { EntityBatchResult } from "./entity-batch.ts";
import type { EntityRequest } from "./entity-messages.ts";
import type { EntityState, InstanceRecord, WorkMessage } from "./instance-record.ts";
import type { OrchestratorReply } from "./orchestrator-state.ts";

export type ActivityResult =
  | { readonly kind: "completed"; readonly result: string | null }
  | { readonly kind: "failed"; readonly message: string };

/** The functions of the app, as the hub calls them. */
export interface FunctionCalls {
  readonly known: KnownFunctions;
  /** Calls the orchestrator with the record's history. An exception of the app is a reply. */
  callOrchestrator(record: InstanceRecord): Promise<OrchestratorReply>;
  callActivity(work: WorkMessage): Promise<ActivityResult>;
  /** @throws when the function itself broke; errors of single operations are in the result */
  callEntity(
    instanceId: string,
    entity: EntityState,
    operations: readonly EntityRequest[],
  ): Promise<EntityBatchResult>;
}
