import { BlobServiceClient } from "@azure/storage-blob";
import { QueueServiceClient } from "@azure/storage-queue";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AzuriteProcess } from "./azurite-process.ts";
import { FixtureBuild } from "./fixture-build.ts";
import { eventually, HostProcess } from "./host-process.ts";

let azurite: AzuriteProcess;
let build: FixtureBuild;
let host: HostProcess;

beforeAll(async () => {
  azurite = await AzuriteProcess.start();
  build = await FixtureBuild.create();
  host = await HostProcess.start({
    build,
    connectionString: azurite.connectionString,
    settings: { TICK_SCHEDULE: "* * * * * *" },
  });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await build[Symbol.asyncDispose]();
  await azurite[Symbol.asyncDispose]();
});

function hasLog(fragment: string): boolean {
  return host.logLines.some((line) => line.includes(fragment));
}

async function readKeys(): Promise<{ master: string; function: string }> {
  const container = BlobServiceClient.fromConnectionString(
    azurite.connectionString,
  ).getContainerClient("azure-webjobs-secrets");
  for await (const { name } of container.listBlobsFlat()) {
    const text = (await container.getBlobClient(name).downloadToBuffer()).toString("utf8");
    const secrets = JSON.parse(text) as {
      masterKey: { value: string };
      functionKeys: { value: string }[];
    };
    return { master: secrets.masterKey.value, function: secrets.functionKeys[0]!.value };
  }
  throw new Error("the host wrote no keys");
}

describe("http triggers", () => {
  test("give method, route parameters, query, headers and body to the function", async () => {
    const response = await host.fetch("/api/echo/7/a/b%20c?x=1", {
      method: "POST",
      body: "hello",
      headers: { "x-given": "g" },
    });
    expect(response.status).toBe(201);
    expect(response.headers.get("x-echo")).toBe("yes");
    expect(response.headers.get("set-cookie")).toBe("taste=sweet; HttpOnly");
    expect(await response.json()).toEqual({
      method: "POST",
      params: { id: "7", rest: "a/b c" },
      query: { x: "1" },
      header: "g",
      body: "hello",
    });
  });

  test("prefer a literal route, and know no route that breaks a constraint", async () => {
    expect(await (await host.fetch("/api/echo/me")).text()).toBe("literal");
    expect((await host.fetch("/api/echo/you")).status).toBe(404);
  });

  test("answer 404 for a method nobody takes, 204 for nothing, 500 without details for a throw", async () => {
    expect((await host.fetch("/api/echo/7", { method: "PUT" })).status).toBe(404);
    expect((await host.fetch("/api/nothing")).status).toBe(204);
    const failed = await host.fetch("/api/throws");
    expect(failed.status).toBe(500);
    expect(await failed.text()).toBe("");
    expect(hasLog("handler failed")).toBe(true);
  });

  test("ask for a key of their level", async () => {
    const keys = await readKeys();
    const status = async (path: string, key?: string): Promise<number> =>
      (await host.fetch(path, key === undefined ? {} : { headers: { "x-functions-key": key } }))
        .status;
    expect(await status("/api/secret")).toBe(401);
    expect(await status("/api/secret", "wrong")).toBe(401);
    expect(await status("/api/secret", keys.function)).toBe(200);
    expect(await status(`/api/secret?code=${keys.function}`)).toBe(200);
    expect(await status("/api/admin-only", keys.function)).toBe(401);
    expect(await status("/api/admin-only", keys.master)).toBe(200);
    expect(await status("/admin/host/status", keys.function)).toBe(401);
    expect(await status("/admin/host/status", keys.master)).toBe(200);
  });
});

describe("timer triggers", () => {
  test("run at start when told so, and on a schedule taken from a setting", async () => {
    await eventually("boot and two ticks", () =>
      host.journal("boot").length === 1 && host.journal("tick-end").length >= 2 ? true : undefined,
    );
  });

  test("never run twice at the same time, although a run takes longer than the interval", () => {
    const kinds = host.journal("tick-begin", "tick-end").map(({ kind }) => kind);
    const alternating = kinds.map((_, index) => (index % 2 === 0 ? "tick-begin" : "tick-end"));
    expect(kinds).toEqual(alternating);
    expect(kinds.length).toBeGreaterThanOrEqual(4);
  });

  test("run once at an administrator's request", async () => {
    const { master } = await readKeys();
    const response = await host.fetch("/admin/functions/boot", {
      method: "POST",
      headers: { "x-functions-key": master },
    });
    expect(response.status).toBe(202);
    await eventually("a second boot", () => (host.journal("boot").length === 2 ? true : undefined));
  });
});

describe("queue triggers", () => {
  const queue = (name: string) =>
    QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient(name);
  const send = async (text: string): Promise<void> => {
    await queue("work-items").createIfNotExists();
    await queue("work-items").sendMessage(text);
  };
  const base64 = (value: string): string => Buffer.from(value).toString("base64");

  test("deliver a message and send what the function returns", async () => {
    await send(base64(JSON.stringify({ n: 1 })));
    await eventually("both results", () =>
      host.journal("result").length === 2 ? true : undefined,
    );
    expect(host.journal("consume")).toEqual([
      { kind: "consume", message: { n: 1 }, dequeueCount: 1 },
    ]);
    expect(host.journal("result").map(({ message }) => message)).toEqual(
      expect.arrayContaining([{ done: { n: 1 } }, "text"]),
    );
  });

  test("try a failing message again and then move it to the poison queue", async () => {
    const text = base64(JSON.stringify({ fail: true }));
    await send(text);
    const poisoned = await eventually("the poisoned message", async () => {
      if (!(await queue("work-items-poison").exists())) return undefined;
      return (await queue("work-items-poison").receiveMessages()).receivedMessageItems[0];
    });
    expect(poisoned.messageText).toBe(text);
    const counts = host
      .journal("consume")
      .filter(({ message }) => JSON.stringify(message).includes("fail"))
      .map(({ dequeueCount }) => dequeueCount);
    expect(counts).toEqual([1, 2]);
    await eventually("an empty queue", async () =>
      (await queue("work-items").getProperties()).approximateMessagesCount === 0 ? true : undefined,
    );
  });

  test("poison what is not base64 without asking the function", async () => {
    await send("not base64!");
    const poisoned = await eventually("the poisoned message", async () => {
      const received = await queue("work-items-poison").receiveMessages();
      return received.receivedMessageItems[0];
    });
    expect(poisoned.messageText).toBe("not base64!");
  });
});

test("reports keys of host.json that have no effect", () => {
  expect(hasLog("extensions.queues.misspelt is not known")).toBe(true);
});

test("writes the app's log lines with level, function and invocation", () => {
  const line = host.logLines.find((each) => each.includes("echo was asked"));
  expect(JSON.parse(line ?? "{}")).toMatchObject({
    level: "information",
    category: "Function.echo-http.User",
    functionName: "echo-http",
    invocationId: expect.any(String) as string,
  });
});
