import { TableClient } from "@azure/data-tables";
import { BlobServiceClient } from "@azure/storage-blob";
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
    settings: { HOLDFAST_LOCAL_VALIDATE_REPLAY: "1" },
  });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await build[Symbol.asyncDispose]();
  await azurite[Symbol.asyncDispose]();
});

describe("orchestrations", () => {
  test("run activities one after the other, each once", async () => {
    const { output } = await host.run("chain", "chain");
    expect(output).toEqual(Array.from({ length: 20 }, (_, index) => `chain-${index}`));
    expect(host.journal("record")).toHaveLength(20);
  });

  test("fan out and in", async () => {
    expect(await host.run("fanOut", "fan")).toMatchObject({ output: 435 });
  });

  test("pass inputs as the extension does: a bare boolean becomes a text, null undefined", async () => {
    const { output } = await host.run("inputs", "inputs");
    expect(output).toEqual([
      'object:{"a":[1]}',
      'object:[1,"2"]',
      "number:3",
      'string:"text"',
      'string:"7"',
      'string:"True"',
      "undefined:undefined",
    ]);
  });

  test("retry, and go on after retries are exhausted", async () => {
    const { output } = await host.run("retries", "retries");
    expect(output).toMatchObject({
      attempt: 3,
      after: "after",
      message: expect.stringContaining("Activity function 'broken' failed: never works") as string,
    });
  });

  test("call sub-orchestrations, with and without an id, and see their failures", async () => {
    const { output } = await host.run("parent", "parent");
    expect(output).toMatchObject({
      child: { doubled: 10 },
      unnamed: { doubled: 14 },
      message: expect.stringContaining("Orchestrator function 'failing' failed") as string,
    });
  });

  test("continue as new and leave nothing of earlier executions behind", async () => {
    expect(await host.run("eternal", "eternal")).toMatchObject({ output: 10, input: { round: 4 } });
    const table = TableClient.fromConnectionString(azurite.connectionString, "FixtureHubHistory", {
      allowInsecureConnection: true,
    });
    const executions = new Set<string>();
    for await (const row of table.listEntities({
      queryOptions: { filter: "PartitionKey eq 'eternal' and RowKey ne 'sentinel'" },
    })) {
      executions.add(row.rowKey?.split("_")[0] ?? "");
    }
    expect(executions.size).toBe(1);
  });

  test("carry values that fit in no message and no table property", async () => {
    expect(await host.run("bigValues", "big")).toMatchObject({ output: 200_000 });
  });

  test("fail loudly for an unknown activity, an oversized status and an unstable orchestrator", async () => {
    expect(await host.run("unknownActivity", "unknown")).toMatchObject({
      runtimeStatus: "Failed",
      output: expect.stringContaining("The function 'doesNotExist' doesn't exist") as string,
    });
    expect(await host.run("tooMuchStatus", "status")).toMatchObject({
      runtimeStatus: "Failed",
      output: expect.stringContaining("must not exceed 16 KB") as string,
    });
    expect(await host.run("fickle", "fickle")).toMatchObject({
      runtimeStatus: "Failed",
      output: expect.stringContaining("two replays of the same history") as string,
    });
  });
});

describe("traps of the real library that the host keeps", () => {
  test("an uncancelled timer delays the end until it fires", async () => {
    const urls = await host.start("careless", "careless");
    expect(await host.untilEnded(urls)).toMatchObject({ output: "quick" });
    const { historyEvents = [] } = await host.status(urls, "&showHistory=true");
    const types = historyEvents.map(({ EventType }) => EventType);
    expect(types.slice(-2)).toEqual(["TimerFired", "ExecutionCompleted"]);
  });

  test("lock() fails under the protocol of the extension bundle, as does Task.all of nothing", async () => {
    expect(await host.run("locking", "locking")).toMatchObject({ runtimeStatus: "Failed" });
    expect(await host.run("nothingToWaitFor", "nothing")).toMatchObject({
      runtimeStatus: "Failed",
      output: expect.stringContaining("must specify at least one Task") as string,
    });
  });
});

describe("external events and timers", () => {
  test("an event wins the race, the cancelled timer does not delay the end", async () => {
    const urls = await host.start("approval", "approved", { seconds: 3600 });
    await eventually("the custom status", async () =>
      (await host.status(urls)).customStatus === null ? undefined : true,
    );
    expect((await host.status(urls)).customStatus).toEqual({ waitingFor: "Approval" });
    expect((await host.post("/api/raise/approved/Approval", { by: "ann" })).status).toBe(202);
    expect(await host.untilEnded(urls)).toMatchObject({ output: { by: "ann" } });
  });

  test("a timer fires when nobody comes", async () => {
    expect(await host.run("approval", "late", { seconds: 1 })).toMatchObject({
      output: "timed out",
    });
  });
});

describe("entities", () => {
  test("are called and signalled, keep state and report failures", async () => {
    expect(await host.run("counting", "sum")).toMatchObject({ output: { total: 7, failed: true } });
    const read = async (key: string): Promise<unknown> =>
      (await host.fetch(`/api/entity/${key}`)).json();
    expect(await read("sum")).toEqual({ exists: true, state: 7 });
    expect(await read("nobody")).toEqual({ exists: false, state: null });
    await eventually("the forwarded signal", async () =>
      JSON.stringify(await read("forwarded")).includes('"state":7') ? true : undefined,
    );
    expect((await host.post("/api/entity/sum", 3)).status).toBe(202);
    await eventually("the signal", async () =>
      JSON.stringify(await read("sum")).includes('"state":10') ? true : undefined,
    );
  });
});

describe("the management API", () => {
  test("suspends, resumes and terminates", async () => {
    const urls = await host.start("approval", "controlled", { seconds: 3600 });
    const post = async (name: string): Promise<number> =>
      (await fetch((urls[name] ?? "").replace("{text}", "because"), { method: "POST" })).status;
    const until = async (status: string): Promise<void> => {
      await eventually(status, async () =>
        (await host.status(urls)).runtimeStatus === status ? true : undefined,
      );
    };
    await until("Running");
    expect(await post("suspendPostUri")).toBe(202);
    await until("Suspended");
    expect(await post("suspendPostUri")).toBe(500);
    expect((await host.post("/api/raise/controlled/Approval", "kept")).status).toBe(202);
    expect(await post("resumePostUri")).toBe(202);
    await until("Completed");
    expect(await host.status(urls)).toMatchObject({ output: "kept" });
    expect(await post("terminatePostUri")).toBe(410);
    const other = await host.start("approval", "ended", { seconds: 3600 });
    await fetch((other["terminatePostUri"] ?? "").replace("{text}", "enough"), { method: "POST" });
    expect(await host.untilEnded(other)).toMatchObject({
      runtimeStatus: "Terminated",
      output: "enough",
    });
    expect(await post("rewindPostUri")).toBe(501);
  });

  test("refuses a second start of a running id and replaces an ended one", async () => {
    await host.start("approval", "taken", { seconds: 3600 });
    expect((await host.post("/api/start/approval/taken", {})).status).toBe(500);
    expect(await host.run("child", "again", { n: 1 })).toMatchObject({ output: { doubled: 2 } });
    expect(await host.run("child", "again", { n: 2 })).toMatchObject({ output: { doubled: 4 } });
  });

  test("shows the history, lists by status in pages, restarts", async () => {
    const urls = await host.start("child", "shown", { n: 3 });
    await host.untilEnded(urls);
    const { historyEvents } = await host.status(urls, "&showHistory=true&showHistoryOutput=true");
    expect(historyEvents?.map(({ EventType }) => EventType)).toEqual([
      "ExecutionStarted",
      "TaskScheduled",
      "TaskCompleted",
      "ExecutionCompleted",
    ]);
    const listed = (await (await host.fetch("/api/list")).json()) as string[];
    expect(listed).toContain("shown");
    const listUrl = (urls["statusQueryGetUri"] ?? "").replace("/shown?", "?top=1&");
    const page = await fetch(listUrl);
    expect(await page.json()).toHaveLength(1);
    expect(page.headers.get("x-ms-continuation-token")).not.toBeNull();
    const restarted = await fetch(urls["restartPostUri"] ?? "", { method: "POST" });
    const next = (await restarted.json()) as Record<string, string>;
    expect(next["id"]).not.toBe("shown");
    expect(await host.untilEnded(next)).toMatchObject({ output: { doubled: 6 } });
  });

  test("asks for the system key and gives proper errors", async () => {
    const urls = await host.start("child", "guarded", { n: 3 });
    const address = urls["statusQueryGetUri"] ?? "";
    expect((await fetch(address.replace(/code=[^&]*/, "code=wrong"))).status).toBe(401);
    expect((await fetch(address.replace("/guarded?", "/nobody?"))).status).toBe(404);
    const event = (urls["sendEventPostUri"] ?? "").replace("{eventName}", "Any");
    const running = await host.start("approval", "guarded-event", { seconds: 3600 });
    const badEvent = (running["sendEventPostUri"] ?? "").replace("{eventName}", "Any");
    expect((await fetch(badEvent, { method: "POST", body: "text" })).status).toBe(400);
    await host.untilEnded(urls);
    expect((await fetch(event, { method: "POST" })).status).toBe(410);
    const start = `${host.url}/runtime/webhooks/durabletask/orchestrators/nobody`;
    const code = /code=([^&]*)/.exec(address)?.[0] ?? "";
    expect((await fetch(`${start}?${code}`, { method: "POST" })).status).toBe(400);
  });

  test("purges an instance with its rows and blobs", async () => {
    const urls = await host.start("bigValues", "purged");
    await host.untilEnded(urls);
    const address = urls["purgeHistoryDeleteUri"] ?? "";
    const deleted = await fetch(address, { method: "DELETE" });
    expect(await deleted.json()).toEqual({ instancesDeleted: 1 });
    expect((await fetch(address, { method: "DELETE" })).status).toBe(404);
    const blobs = BlobServiceClient.fromConnectionString(
      azurite.connectionString,
    ).getContainerClient("fixturehub-largemessages");
    const names: string[] = [];
    for await (const { name } of blobs.listBlobsFlat({ prefix: "purged/" })) names.push(name);
    expect(names).toEqual([]);
    const unbounded = address.replace("/purged?", "?");
    expect((await fetch(unbounded, { method: "DELETE" })).status).toBe(400);
  });
});
