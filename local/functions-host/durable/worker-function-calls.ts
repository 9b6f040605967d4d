/** Calls orchestrators, activities and entities of a loaded app, in the form the library expects. */
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import { formatTimeSpan } from "../time-span.ts";
import type { FunctionWorker } from "../worker/function-worker.ts";
import {
  FunctionException,
  type RegisteredFunction,
  type RpcTypedData,
} from "../worker/rpc-types.ts";
import { type KnownFunctions, timerLimits } from "./action-interpreter.ts";
import { type EntityBatchResult, entityBatchResultSchema } from "./entity-batch.ts";
import { type EntityRequest, parseEntityInstanceId } from "./entity-messages.ts";
import type { ActivityResult, FunctionCalls } from "./function-calls.ts";
import { eventTypes } from "./history-events.ts";
import type { EntityState, InstanceRecord, WorkMessage } from "./instance-record.ts";
import { type OrchestratorReply, orchestratorStateSchema } from "./orchestrator-state.ts";

/** Separates the message of a thrown orchestrator from its state (`OrchestrationFailureError`). */
const stateMarker = "\n\n$OutOfProcData$:";

/** V3 of the protocol: the library itself splits long timers. */
const schemaVersions = { upperSchemaVersion: 1, upperSchemaVersionNew: 2 } as const;

type FunctionTable = ReadonlyMap<string, RegisteredFunction>;

export class WorkerFunctionCalls implements FunctionCalls {
  readonly known: KnownFunctions;
  readonly #worker: FunctionWorker;
  readonly #orchestrators: FunctionTable;
  readonly #activities: FunctionTable;
  readonly #entities: FunctionTable;

  /** @param worker with its app loaded */
  constructor(worker: FunctionWorker) {
    this.#worker = worker;
    this.#orchestrators = functionsByTrigger(worker, "orchestrationtrigger");
    this.#activities = functionsByTrigger(worker, "activitytrigger");
    this.#entities = functionsByTrigger(worker, "entitytrigger");
    this.known = {
      orchestrators: new Set(this.#orchestrators.keys()),
      activities: new Set(this.#activities.keys()),
      entities: new Set(this.#entities.keys()),
    };
  }

  async callOrchestrator(record: InstanceRecord): Promise<OrchestratorReply> {
    const target = this.#orchestrators.get(record.name.toLowerCase());
    if (target === undefined)
      return crashed(`The orchestrator '${record.name}' is not registered.`);
    const payload = {
      history: record.history,
      input: record.input === null ? null : (JSON.parse(record.input) as unknown),
      instanceId: record.instanceId,
      isReplaying: record.history.some(
        (event) => event.EventType === eventTypes.executionStarted && event.IsPlayed,
      ),
      parentInstanceId: record.parent?.instanceId ?? null,
      ...schemaVersions,
      longRunningTimerIntervalDuration: formatTimeSpan(timerLimits.stepMs),
      maximumShortTimerDuration: formatTimeSpan(timerLimits.longestMs),
      // The misspelling is the protocol's.
      defaultHttpAsyncRequestSleepTimeMillseconds: 30_000,
    };
    try {
      const returned = await this.#call(target, payload, true);
      return toReply(returned?.json ?? "", "");
    } catch (error) {
      return replyOfException(error);
    }
  }

  async callActivity(work: WorkMessage): Promise<ActivityResult> {
    const target = this.#activities.get(work.name.toLowerCase());
    if (target === undefined) {
      const message = `The function '${work.name}' doesn't exist, is disabled, or is not an activity function.`;
      return { kind: "failed", message };
    }
    const data = activityInput(work.input);
    try {
      const { returnValue } = await this.#worker.invoke(target, {
        inputs: [{ name: target.triggerName, data }],
        triggerMetadata: { [target.triggerName]: data, instanceId: { string: work.instanceId } },
      });
      return { kind: "completed", result: jsonTextOf(returnValue) };
    } catch (error) {
      const message = error instanceof FunctionException ? error.remoteMessage : messageOf(error);
      return { kind: "failed", message };
    }
  }

  async callEntity(
    instanceId: string,
    entity: EntityState,
    operations: readonly EntityRequest[],
  ): Promise<EntityBatchResult> {
    const self = parseEntityInstanceId(instanceId);
    const target = this.#entities.get(self.name);
    if (target === undefined) {
      throw new HoldfastError("UnknownEntity", `The entity '${self.name}' is not registered.`);
    }
    const batch = operations.map(({ op, input, signal }) => ({
      name: op,
      input: input ?? null,
      isSignal: signal === true,
    }));
    const payload = { self, exists: entity.exists, state: entity.state, batch };
    const returned = await this.#call(target, payload, true);
    return entityBatchResultSchema.parse(JSON.parse(returned?.json ?? "null"));
  }

  async #call(
    target: RegisteredFunction,
    payload: unknown,
    isQuiet: boolean,
  ): Promise<RpcTypedData | undefined> {
    const data = { string: JSON.stringify(payload) };
    const inputs = [{ name: target.triggerName, data }];
    return (await this.#worker.invoke(target, { inputs, isQuiet })).returnValue;
  }
}

function functionsByTrigger(worker: FunctionWorker, type: string): FunctionTable {
  const found = worker.functions.filter((each) => each.trigger.type.toLowerCase() === type);
  return new Map(found.map((each) => [each.name.toLowerCase(), each]));
}

function crashed(message: string, stack = ""): OrchestratorReply {
  return { kind: "crashed", message, stack };
}

function toReply(json: string, stack: string): OrchestratorReply {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    return crashed(`the state of the orchestrator is not JSON: ${messageOf(error)}`, stack);
  }
  const parsed = orchestratorStateSchema.safeParse(value);
  if (parsed.success) return { kind: "state", state: parsed.data, stack };
  return crashed(`the orchestrator answered in an unknown form: ${parsed.error.message}`, stack);
}

/** A thrown orchestrator carries its state inside the text of the exception. */
function replyOfException(error: unknown): OrchestratorReply {
  if (!(error instanceof FunctionException)) return crashed(messageOf(error));
  const { remoteMessage, remoteStack } = error;
  const markerAt = remoteMessage.indexOf(stateMarker);
  if (markerAt < 0) return crashed(remoteMessage, remoteStack);
  return toReply(remoteMessage.slice(markerAt + stateMarker.length), remoteStack);
}

/**
 * The extension turns a bare value into text by .NET's `Convert.ToString`, and the library parses
 * that as JSON: a bare boolean arrives as the string "True", null as undefined.
 */
function activityInput(input: unknown): RpcTypedData {
  if (input === undefined || input === null) return {};
  if (typeof input === "string") return { string: input };
  if (typeof input === "boolean") return { string: input ? "True" : "False" };
  return { string: JSON.stringify(input) };
}

function jsonTextOf(data: RpcTypedData | undefined): string | null {
  if (data === undefined) return null;
  if (typeof data.string === "string") return JSON.stringify(data.string);
  if (typeof data.json === "string") return JSON.stringify(JSON.parse(data.json));
  if (typeof data.int === "number") return JSON.stringify(data.int);
  if (typeof data.double === "number") return JSON.stringify(data.double);
  if (data.bytes instanceof Uint8Array) {
    return JSON.stringify(Buffer.from(data.bytes).toString("base64"));
  }
  return null;
}
