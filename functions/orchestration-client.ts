import type { DurableClient } from "durable-functions";
import { messageOf } from "#core/lib/errors.ts";
import type { OrchestratorName } from "./orchestrators/names.ts";

/** What triggers need of the durable client. */
export interface OrchestrationClient {
  /** Starts an instance unless one with this id is known. Answers whether it was started. */
  startOnce(name: OrchestratorName, instanceId: string, input: object): Promise<boolean>;
  /** Starts an instance, again when an earlier one with this id is over. */
  startUnlessRunning(name: OrchestratorName, instanceId: string, input: object): Promise<boolean>;
  stateOf(instanceId: string): Promise<OrchestrationState>;
  raiseEvent(instanceId: string, eventName: string, payload: object): Promise<void>;
}

export type OrchestrationState = "running" | "over" | "missing";

/** Runtime states of instances that still go on. */
const RUNNING_STATES: readonly string[] = ["Running", "Pending", "Suspended", "ContinuedAsNew"];

export function createOrchestrationClient(client: DurableClient): OrchestrationClient {
  async function stateOf(instanceId: string): Promise<OrchestrationState> {
    try {
      // Over the wire it may be missing although the SDK's type says otherwise.
      const status: { runtimeStatus?: string } | null | undefined =
        await client.getStatus(instanceId);
      if (status?.runtimeStatus === undefined) return "missing";
      return RUNNING_STATES.includes(status.runtimeStatus) ? "running" : "over";
    } catch (error) {
      // The SDK throws for an unknown instance; it gives the HTTP status only in its text.
      if (/HTTP 404 response/.test(messageOf(error))) return "missing";
      throw error;
    }
  }
  return {
    stateOf,
    async startOnce(name, instanceId, input) {
      if ((await stateOf(instanceId)) !== "missing") return false;
      await client.startNew(name, { instanceId, input });
      return true;
    },
    async startUnlessRunning(name, instanceId, input) {
      if ((await stateOf(instanceId)) === "running") return false;
      await client.startNew(name, { instanceId, input });
      return true;
    },
    raiseEvent: (instanceId, eventName, payload) =>
      client.raiseEvent(instanceId, eventName, payload),
  };
}
