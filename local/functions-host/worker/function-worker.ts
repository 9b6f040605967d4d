/**
 * The Node worker's part of the host: loads an app, invokes its functions through the library's
 * own conversions. App and host share a process here; values still cross in RPC form.
 */
import { randomUUID } from "node:crypto";
import { HoldfastError } from "#core/lib/errors.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { loadApp } from "./app-loader.ts";
import { AppRegistry, type HookName, provideCoreModule } from "./core-module.ts";
import { logLevelOf } from "./log-levels.ts";
import {
  FunctionException,
  type InvocationOutput,
  type RegisteredFunction,
  type RpcParameter,
  type RpcTypedData,
} from "./rpc-types.ts";

export interface FunctionWorkerOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** undefined = unbounded (`functionTimeout: "-1"`). */
  readonly functionTimeoutMs: number | undefined;
  /** An invocation exceeded its time. The real host kills the worker process now. */
  readonly onTimeout: (message: string) => void;
}

export interface Invocation {
  readonly inputs: readonly RpcParameter[];
  readonly triggerMetadata?: Readonly<Record<string, RpcTypedData>>;
  /** Orchestrators run again and again: their start and end are not worth a line. */
  readonly isQuiet?: boolean;
}

export class FunctionWorker {
  readonly #options: FunctionWorkerOptions;
  readonly #registry: AppRegistry;
  readonly #appHookData: Record<string, unknown> = {};

  constructor(options: FunctionWorkerOptions) {
    this.#options = options;
    this.#registry = new AppRegistry(options.log);
  }

  get functions(): readonly RegisteredFunction[] {
    return [...this.#registry.functions.values()];
  }

  /** Loads the app from a folder; see `load` for anything else. */
  async start(appDirectory: string): Promise<void> {
    await this.load(async () => loadApp(appDirectory), appDirectory);
  }

  /** Registers whatever `register` registers, then closes the registration. */
  async load(register: () => unknown, appDirectory = ""): Promise<void> {
    provideCoreModule(this.#registry);
    await register();
    await this.#runHooks("appStart", {
      hookData: {},
      appHookData: this.#appHookData,
      functionAppDirectory: appDirectory,
    });
    if (this.#registry.programmingModel === undefined) {
      throw new HoldfastError(
        "NoProgrammingModel",
        "The app did not register itself: does it import @azure/functions (v4 model)?",
      );
    }
    this.#registry.seal();
  }

  /** Calls a function. @throws FunctionException with the app's error */
  async invoke(target: RegisteredFunction, invocation: Invocation): Promise<InvocationOutput> {
    const { log } = this.#options;
    const invocationId = randomUUID();
    const fields = { functionName: target.name, invocationId };
    const category = `Function.${target.name}`;
    if (invocation.isQuiet !== true) {
      log("information", category, `Executing 'Functions.${target.name}'`, fields);
    }
    try {
      const output = await this.#withTimeout(target, this.#run(target, invocation, invocationId));
      if (invocation.isQuiet !== true) {
        log("information", category, `Executed 'Functions.${target.name}' (Succeeded)`, fields);
      }
      return output;
    } catch (error) {
      if (invocation.isQuiet !== true) {
        const stack = error instanceof FunctionException ? error.remoteStack : String(error);
        log("error", category, `Executed 'Functions.${target.name}' (Failed): ${stack}`, fields);
      }
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#runHooks("appTerminate", { hookData: {}, appHookData: this.#appHookData });
  }

  async #run(
    target: RegisteredFunction,
    invocation: Invocation,
    invocationId: string,
  ): Promise<InvocationOutput> {
    const { name, functionId, bindings, callback } = target;
    const coreContext: Record<string, unknown> = {
      invocationId,
      metadata: { name, functionId, bindings },
      request: {
        invocationId,
        functionId,
        inputData: invocation.inputs,
        triggerMetadata: invocation.triggerMetadata ?? {},
        traceContext: { traceParent: "", traceState: "", attributes: {} },
      },
      state: undefined,
      log: (level: string, _category: string, message: string) => {
        const fields = { functionName: name, invocationId };
        this.#options.log(logLevelOf(level), `Function.${name}.User`, message, fields);
      },
    };
    try {
      const model = this.#registry.programmingModel?.getInvocationModel(coreContext);
      if (model === undefined) throw new Error("the app is not loaded");
      const { context, inputs } = await model.getArguments();
      const pre = {
        hookData: {},
        appHookData: this.#appHookData,
        invocationContext: context,
        functionCallback: callback,
        inputs,
      };
      coreContext["state"] = "preInvocationHooks";
      await this.#runHooks("preInvocation", pre);
      coreContext["state"] = "invocation";
      const post: Record<string, unknown> = {
        hookData: pre.hookData,
        appHookData: this.#appHookData,
        invocationContext: context,
        inputs: pre.inputs,
        result: null,
        error: null,
      };
      try {
        post["result"] = await model.invokeFunction(context, pre.inputs, pre.functionCallback);
      } catch (error) {
        post["error"] = error ?? new Error("the function threw nothing");
      }
      coreContext["state"] = "postInvocationHooks";
      await this.#runHooks("postInvocation", post);
      coreContext["state"] = undefined;
      if ((post["error"] ?? null) !== null) throw post["error"];
      const response = await model.getResponse(context, post["result"]);
      return {
        returnValue: response.returnValue ?? undefined,
        outputData: response.outputData ?? [],
      };
    } catch (error) {
      throw toFunctionException(error);
    }
  }

  async #withTimeout<Result>(target: RegisteredFunction, work: Promise<Result>): Promise<Result> {
    const { clock, functionTimeoutMs, onTimeout } = this.#options;
    if (functionTimeoutMs === undefined) return work;
    const finished = new AbortController();
    const expired = clock.sleep(functionTimeoutMs, finished.signal).then(() => {
      if (finished.signal.aborted) return undefined;
      return `Timeout value of ${functionTimeoutMs / 1000} s was exceeded by function: Functions.${target.name}`;
    });
    try {
      const first = await Promise.race([work.then((result) => ({ result })), expired]);
      if (typeof first === "object") return first.result;
      // The function goes on without us until the process ends; its result counts no more.
      work.catch(() => undefined);
      onTimeout(first ?? "");
      throw new FunctionException(first ?? "", "");
    } finally {
      finished.abort();
    }
  }

  async #runHooks(name: HookName, context: Record<string, unknown>): Promise<void> {
    for (const hook of this.#registry.hooks.get(name) ?? []) await hook(context);
  }
}

function toFunctionException(error: unknown): FunctionException {
  if (error instanceof Error) return new FunctionException(error.message, error.stack ?? "");
  const text = typeof error === "string" ? error : JSON.stringify(error);
  return new FunctionException(text, "");
}
