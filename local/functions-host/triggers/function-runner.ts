/** Invokes a triggered function with its further inputs, then writes its outputs. */
import { HoldfastError } from "#core/lib/errors.ts";
import type { FunctionWorker } from "../worker/function-worker.ts";
import type {
  InvocationOutput,
  RegisteredFunction,
  RpcParameter,
  RpcTypedData,
} from "../worker/rpc-types.ts";
import type { QueueOutput } from "./queue-output.ts";

const durableClientTypes = ["durableclient", "orchestrationclient"];
const triggerTypes = [
  "httptrigger",
  "timertrigger",
  "queuetrigger",
  "orchestrationtrigger",
  "activitytrigger",
  "entitytrigger",
];

export class FunctionRunner {
  readonly #worker: FunctionWorker;
  readonly #durableClientBinding: string;
  readonly #queueOutput: QueueOutput;

  constructor(worker: FunctionWorker, durableClientBinding: string, queueOutput: QueueOutput) {
    this.#worker = worker;
    this.#durableClientBinding = durableClientBinding;
    this.#queueOutput = queueOutput;
  }

  async run(
    target: RegisteredFunction,
    triggerData: RpcTypedData,
    triggerMetadata: Readonly<Record<string, RpcTypedData>> = {},
  ): Promise<InvocationOutput> {
    const extra = Object.entries(target.bindings)
      .filter(([, { type }]) => durableClientTypes.includes(type.toLowerCase()))
      .map(([name]): RpcParameter => ({ name, data: { string: this.#durableClientBinding } }));
    const output = await this.#worker.invoke(target, {
      inputs: [{ name: target.triggerName, data: triggerData }, ...extra],
      triggerMetadata,
    });
    await this.#writeOutputs(target, output);
    return output;
  }

  async #writeOutputs(target: RegisteredFunction, output: InvocationOutput): Promise<void> {
    const returned: RpcParameter[] =
      output.returnValue === undefined ? [] : [{ name: "$return", data: output.returnValue }];
    for (const { name, data } of [...output.outputData, ...returned]) {
      const binding = target.bindings[name];
      if (binding?.type.toLowerCase() === "queue") await this.#queueOutput.write(binding, data);
    }
  }
}

/** Refuses at start what would silently do nothing later. @throws HoldfastError */
export function assertBindingsSupported(functions: readonly RegisteredFunction[]): void {
  for (const { name, bindings, hasRetryOptions } of functions) {
    for (const { type, direction } of Object.values(bindings)) {
      const kind = type.toLowerCase();
      const isKnown =
        direction === "out"
          ? kind === "queue" || kind === "http"
          : triggerTypes.includes(kind) || durableClientTypes.includes(kind);
      if (isKnown) continue;
      throw new HoldfastError(
        "UnsupportedBinding",
        `Function ${name} has a binding that the local host does not emulate: ${type} (${direction}).`,
      );
    }
    if (!hasRetryOptions) continue;
    throw new HoldfastError(
      "UnsupportedRetry",
      `Function ${name} has retry options, which the local host does not emulate.`,
    );
  }
}
