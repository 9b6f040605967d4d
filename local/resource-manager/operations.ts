/**
 * Long-running operations. An *operation* is one accepted write: a record that clients poll, and
 * the work behind it. It is InProgress until the work has settled, the configured latency has
 * passed, no test holds it, and the client has seen InProgress at least `minimumPolls` times.
 * Records are persisted; whatever was InProgress when the simulator stopped runs again.
 * https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
 */
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { ArmError } from "./arm-error.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import { idKey } from "./resource-id.ts";

const statuses = ["InProgress", "Succeeded", "Failed", "Canceled"] as const;
const methods = ["GET", "PUT", "PATCH", "POST", "DELETE"] as const;
const jsonSchema = z.custom<JsonValue>((value) => value !== undefined);

export const operationSchema = z.object({
  id: z.string(),
  resourceId: z.string(),
  namespace: z.string(),
  method: z.enum(methods),
  workName: z.string(),
  input: z.custom<JsonObject>(isJsonObject),
  status: z.enum(statuses),
  startTime: z.string(),
  endTime: z.string().optional(),
  output: jsonSchema.optional(),
  /** Whether the outcome changes provisioningState. */
  setsState: z.boolean(),
  error: z.object({ status: z.number(), body: z.custom<JsonObject>(isJsonObject) }).optional(),
});
export type Operation = z.infer<typeof operationSchema>;

export interface OperationTiming {
  /** Status polls that answer InProgress even when the work is done. */
  readonly minimumPolls: number;
  /** Least time between acceptance and the end of the work. */
  readonly operationLatencyMs: number;
  /** Value of Retry-After on answers and polls. */
  readonly retryAfterSeconds: number;
}

export interface OperationsEnvironment {
  readonly timing: OperationTiming;
  now(): Date;
  changed(): void;
  /** Does the work of an operation; its value is the output. */
  run(operation: Operation, signal: AbortSignal): Promise<JsonValue | undefined>;
  /** Applies the outcome to the resource; called once, before the record shows it. */
  settle(operation: Operation): void;
}

/** Records are dropped after this many later ones, as Azure forgets operations after a while. */
const keptOperationCount = 2000;

export class Operations implements AsyncDisposable {
  readonly #environment: OperationsEnvironment;
  readonly #byId = new Map<string, Operation>();
  readonly #polls = new Map<string, number>();
  readonly #running = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  #gate = Promise.withResolvers<void>();

  constructor(environment: OperationsEnvironment) {
    this.#environment = environment;
    this.#gate.resolve();
  }

  get timing(): OperationTiming {
    return this.#environment.timing;
  }

  load(operations: readonly Operation[]): void {
    for (const operation of operations) this.#byId.set(operation.id, operation);
  }

  /** Runs again what had not finished when the state was saved. */
  resume(): void {
    for (const operation of this.#byId.values())
      if (operation.status === "InProgress") this.#launch(operation);
  }

  toJson(): JsonValue {
    return [...this.#byId.values()].map((operation) => {
      const json: Record<string, JsonValue> = {};
      for (const [key, value] of Object.entries(operation))
        if (value !== undefined) json[key] = value;
      return json;
    });
  }

  start(operation: Omit<Operation, "status" | "startTime">): Operation {
    const started: Operation = {
      ...operation,
      status: "InProgress",
      startTime: this.#environment.now().toISOString(),
    };
    this.#byId.set(started.id, started);
    const oldest = this.#byId.values().next().value;
    if (this.#byId.size > keptOperationCount && oldest?.status !== "InProgress" && oldest)
      this.#byId.delete(oldest.id);
    this.#environment.changed();
    this.#launch(started);
    return started;
  }

  /** The running operation of this very resource, if any. */
  runningOn(resourceId: string): Operation | undefined {
    const key = idKey(resourceId);
    for (const operation of this.#byId.values())
      if (operation.status === "InProgress" && idKey(operation.resourceId) === key)
        return operation;
    return undefined;
  }

  /** What a client sees that polls now; counts the poll. Undefined when there is no such operation. */
  poll(id: string): Operation | undefined {
    const operation = this.#byId.get(id.toLowerCase());
    if (operation === undefined) return undefined;
    const pollCount = (this.#polls.get(operation.id) ?? 0) + 1;
    this.#polls.set(operation.id, pollCount);
    if (operation.status === "InProgress" || pollCount > this.timing.minimumPolls) return operation;
    return { ...operation, status: "InProgress" };
  }

  /** Work goes on but nothing finishes until `release`: shows intermediate states in tests. */
  hold(): void {
    this.#gate = Promise.withResolvers<void>();
  }

  release(): void {
    this.#gate.resolve();
  }

  /** Resolves when nothing runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.idle();
  }

  #launch(operation: Operation): void {
    const run = this.#execute(operation).finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  async #execute(operation: Operation): Promise<void> {
    const signal = this.#abort.signal;
    let settled: Operation;
    try {
      const output = await this.#environment.run(operation, signal);
      await this.#untilDue(signal);
      settled = { ...operation, status: "Succeeded", ...(output === undefined ? {} : { output }) };
    } catch (error) {
      // Stopped: the record stays InProgress and the work runs again after the next start.
      if (signal.aborted) return;
      await this.#untilDue(signal).catch(() => undefined);
      if (signal.aborted) return;
      settled = { ...operation, status: "Failed", error: describeFailure(error) };
    }
    settled = { ...settled, endTime: this.#environment.now().toISOString() };
    this.#environment.settle(settled);
    this.#byId.set(settled.id, settled);
    this.#environment.changed();
  }

  async #untilDue(signal: AbortSignal): Promise<void> {
    await delay(this.timing.operationLatencyMs, undefined, { signal });
    const aborted = new Promise<void>((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    await Promise.race([this.#gate.promise, aborted]);
  }
}

function describeFailure(error: unknown): NonNullable<Operation["error"]> {
  if (error instanceof ArmError) return { status: error.status, body: error.toJson() };
  const message = error instanceof Error ? error.message : String(error);
  return { status: 500, body: { code: "InternalServerError", message } };
}
