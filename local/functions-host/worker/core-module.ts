/**
 * The module `@azure/functions-core`, which exists in no package: the real worker hands it to the
 * app by intercepting `require` (`setupCoreModule.ts` of azure-functions-nodejs-worker). The
 * library asks for it once and keeps it, so each copy of the library belongs to the worker that
 * was loading when it asked.
 */
import Module from "node:module";
import { HoldfastError } from "#core/lib/errors.ts";
import { z } from "zod";
import type { Log } from "../log.ts";
import { logLevelOf } from "./log-levels.ts";
import type { Binding, RegisteredFunction, RpcParameter, RpcTypedData } from "./rpc-types.ts";

export const hookNames = [
  "preInvocation",
  "postInvocation",
  "appStart",
  "appTerminate",
  "log",
] as const;
export type HookName = (typeof hookNames)[number];
export type HookCallback = (context: Record<string, unknown>) => unknown;

/** What the library offers for one invocation (`InvocationModel` of @azure/functions-core). */
export interface InvocationModel {
  getArguments(): Promise<{ context: unknown; inputs: unknown[] }>;
  invokeFunction(context: unknown, inputs: unknown[], callback: unknown): Promise<unknown>;
  getResponse(
    context: unknown,
    result: unknown,
  ): Promise<{ returnValue?: RpcTypedData | null; outputData?: RpcParameter[] | null }>;
}

export interface ProgrammingModel {
  getInvocationModel(coreContext: Record<string, unknown>): InvocationModel;
}

/** The versions that the host and its worker say they are; a feature check of the library reads them. */
const versions = { worker: "3.13.0", host: "4.1045.0" } as const;

const functionMetadataSchema = z.object({
  name: z.string(),
  functionId: z.string().optional(),
  bindings: z.record(z.string(), z.looseObject({ type: z.string(), direction: z.string() })),
  retryOptions: z.unknown().optional(),
});

class Disposable {
  #callback: (() => unknown) | undefined;

  constructor(callback: () => unknown) {
    this.#callback = callback;
  }

  static from(...disposables: { dispose: () => unknown }[]): Disposable {
    return new Disposable(() => {
      for (const each of disposables) each.dispose();
    });
  }

  dispose(): unknown {
    const callback = this.#callback;
    this.#callback = undefined;
    return callback?.();
  }
}

/** What one app registers while it loads. */
export class AppRegistry {
  readonly functions = new Map<string, RegisteredFunction>();
  readonly hooks = new Map<HookName, HookCallback[]>(hookNames.map((name) => [name, []]));
  programmingModel: ProgrammingModel | undefined;
  readonly #log: Log;
  #isSealed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** From now on registering a function is an error, as in the worker. */
  seal(): void {
    this.#isSealed = true;
  }

  /** The object that `require("@azure/functions-core")` gives to the app. */
  createModule(): Record<string, unknown> {
    return {
      version: versions.worker,
      hostVersion: versions.host,
      Disposable,
      registerHook: (name: string, callback: HookCallback) => this.#registerHook(name, callback),
      registerFunction: (metadata: unknown, callback: unknown) =>
        this.#registerFunction(metadata, callback),
      setProgrammingModel: (model: ProgrammingModel) => {
        this.programmingModel = model;
      },
      getProgrammingModel: () => this.programmingModel,
      log: (level: string, category: string, message: string) => {
        this.#log(logLevelOf(level), `Worker.${category}`, message);
      },
    };
  }

  #registerHook(name: string, callback: HookCallback): Disposable {
    const known = hookNames.find((each) => each === name);
    if (known === undefined) {
      const error = new RangeError(`Unrecognized hook "${name}"`);
      throw Object.assign(error, { isAzureFunctionsSystemError: true });
    }
    this.hooks.get(known)?.push(callback);
    return new Disposable(() => {
      const left = this.hooks.get(known)?.filter((each) => each !== callback);
      this.hooks.set(known, left ?? []);
    });
  }

  #registerFunction(metadata: unknown, callback: unknown): Disposable {
    if (this.#isSealed) {
      throw new Error("A function can only be registered during app startup.");
    }
    const {
      name,
      functionId = name,
      bindings,
      retryOptions,
    } = functionMetadataSchema.parse(metadata);
    if (this.functions.has(functionId)) {
      throw new Error(`A function with id "${functionId}" has already been registered.`);
    }
    const triggers = Object.entries<Binding>(bindings).filter(([, { type }]) =>
      /trigger$/i.test(type),
    );
    const [first] = triggers;
    if (first === undefined || triggers.length > 1) {
      throw new HoldfastError("InvalidFunction", `Function ${name} needs exactly one trigger.`);
    }
    const [triggerName, trigger] = first;
    const hasRetryOptions = (retryOptions ?? null) !== null;
    const registered = {
      name,
      functionId,
      bindings,
      trigger,
      triggerName,
      hasRetryOptions,
      callback,
    };
    this.functions.set(functionId, registered);
    return new Disposable(() => this.functions.delete(functionId));
  }
}

let loadingModule: Record<string, unknown> | undefined;
let isInstalled = false;

/** Makes `registry` the one that a library loaded from now on talks to. */
export function provideCoreModule(registry: AppRegistry): void {
  loadingModule = registry.createModule();
  if (isInstalled) return;
  isInstalled = true;
  // oxlint-disable-next-line typescript/unbound-method -- the proxy passes `this` on
  Module.prototype.require = new Proxy(Module.prototype.require, {
    apply: (target, self, args: [string]) =>
      args[0] === "@azure/functions-core" ? loadingModule : Reflect.apply(target, self, args),
  });
}
