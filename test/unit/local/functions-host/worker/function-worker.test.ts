import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "#local/functions-host/clock.ts";
import { FunctionWorker } from "#local/functions-host/worker/function-worker.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "function-worker-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

/** The least that a programming model must do; the real library is used in the integration tests. */
const model = `
const core = require("@azure/functions-core");
core.setProgrammingModel({
  getInvocationModel: (coreContext) => ({
    getArguments: async () => ({ context: coreContext, inputs: [coreContext.request.inputData[0].data.string] }),
    invokeFunction: async (context, inputs, callback) => callback(...inputs),
    getResponse: async (context, result) => ({ returnValue: { string: result } }),
  }),
});
const bindings = { trigger: { type: "queueTrigger", direction: "in" } };
`;

function createWorker(functionTimeoutMs?: number, timeouts: string[] = []): FunctionWorker {
  return new FunctionWorker({
    log: () => undefined,
    clock: systemClock,
    functionTimeoutMs,
    onTimeout: (message) => timeouts.push(message),
  });
}

async function writeApp(main: string, files: Record<string, string>): Promise<void> {
  await writeFile(join(directory, "package.json"), JSON.stringify({ main }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
}

async function call(worker: FunctionWorker, name: string, text: string) {
  const target = worker.functions.find((each) => each.name === name)!;
  return worker.invoke(target, { inputs: [{ name: target.triggerName, data: { string: text } }] });
}

describe("the worker", () => {
  test("loads every file that main names, CommonJS and ES modules, and calls functions", async () => {
    const register = (name: string, body: string): string =>
      `core.registerFunction({ name: "${name}", bindings }, ${body});`;
    await writeApp("{one.cjs,two.mjs}", {
      "one.cjs": `${model}${register("shout", "(text) => text.toUpperCase()")}`,
      "two.mjs": `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);
        const core = require("@azure/functions-core");
        core.registerFunction({ name: "fail", bindings: { t: { type: "queueTrigger", direction: "in" } } }, () => { throw new Error("as asked"); });`,
    });
    const worker = createWorker();
    await worker.start(directory);
    expect((await call(worker, "shout", "hey")).returnValue).toEqual({ string: "HEY" });
    await expect(call(worker, "fail", "")).rejects.toMatchObject({ remoteMessage: "as asked" });
  });

  test("refuses an app without entry files, with two functions of one name, or registered late", async () => {
    await writeApp("dist/*.js", {});
    await expect(createWorker().start(directory)).rejects.toThrow("found zero files");
    const register = `core.registerFunction({ name: "same", bindings }, () => "");`;
    await writeApp("twice.cjs", { "twice.cjs": `${model}${register}${register}` });
    await expect(createWorker().start(directory)).rejects.toThrow("has already been registered");
    await writeApp("late.cjs", {
      "late.cjs": `${model}core.registerFunction({ name: "late", bindings }, () => core.registerFunction({ name: "later", bindings }, () => ""));`,
    });
    const worker = createWorker();
    await worker.start(directory);
    await expect(call(worker, "late", "")).rejects.toThrow("only be registered during app startup");
  });

  test("fails a function that exceeds its time and says so", async () => {
    await writeApp("slow.cjs", {
      "slow.cjs": `${model}core.registerFunction({ name: "slow", bindings }, () => new Promise(() => {}));`,
    });
    const timeouts: string[] = [];
    const worker = createWorker(20, timeouts);
    await worker.start(directory);
    await expect(call(worker, "slow", "")).rejects.toThrow("was exceeded by function");
    expect(timeouts).toHaveLength(1);
  });
});
