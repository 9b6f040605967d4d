import { afterAll, beforeAll, expect, test } from "vitest";
import { startFunctionsHost } from "#local/functions-host/main.ts";
import { AzuriteProcess } from "./azurite-process.ts";
import { FixtureBuild } from "./fixture-build.ts";
import { eventually } from "./host-process.ts";

let azurite: AzuriteProcess;
let build: FixtureBuild;

beforeAll(async () => {
  azurite = await AzuriteProcess.start();
  build = await FixtureBuild.create();
});
afterAll(async () => {
  await build[Symbol.asyncDispose]();
  await azurite[Symbol.asyncDispose]();
});

test("a host can be started again in the same process and goes on with the same state", async () => {
  const lines: string[] = [];
  const start = async () =>
    startFunctionsHost({
      appDirectory: build.directory,
      port: 0,
      environment: {
        AzureWebJobsStorage: azurite.connectionString,
        WorkStorage: azurite.connectionString,
        WORK_QUEUE: "work-items",
        HUB_NAME: "InProcessHub",
        TICK_SCHEDULE: "0 0 0 1 1 *",
      },
      writeLog: (line) => lines.push(line),
    });
  const outputOf = async (url: string, id: string, key: string): Promise<unknown> => {
    const address = `${url}/runtime/webhooks/durabletask/instances/${id}?code=${key}`;
    return eventually(id, async () => {
      const response = await fetch(address);
      return response.status === 200
        ? ((await response.json()) as { output: unknown }).output
        : undefined;
    });
  };
  const run = async (url: string, id: string, n: number): Promise<void> => {
    const response = await fetch(`${url}/api/start/child/${id}`, {
      method: "POST",
      body: JSON.stringify({ n }),
    });
    expect(response.status).toBe(202);
  };
  let firstKeys: unknown;
  {
    await using first = await start();
    firstKeys = first.keys;
    await run(first.url, "one", 1);
    expect(await outputOf(first.url, "one", first.keys.durable)).toEqual({ doubled: 2 });
  }
  await using second = await start();
  expect(second.keys).toEqual(firstKeys);
  expect(second.functionNames).toContain("child");
  expect(await outputOf(second.url, "one", second.keys.durable)).toEqual({ doubled: 2 });
  await run(second.url, "two", 2);
  expect(await outputOf(second.url, "two", second.keys.durable)).toEqual({ doubled: 4 });
  expect(lines.some((line) => line.includes('"message":"Stopped."'))).toBe(true);
});
