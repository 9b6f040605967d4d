import { QueueServiceClient } from "@azure/storage-queue";
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from "vitest";
import { AzuriteProcess } from "./azurite-process.ts";
import { FixtureBuild } from "./fixture-build.ts";
import { eventually, HostProcess } from "./host-process.ts";

let azurite: AzuriteProcess;
let build: FixtureBuild;

beforeAll(async () => {
  azurite = await AzuriteProcess.start();
});
afterAll(async () => {
  await azurite[Symbol.asyncDispose]();
});
beforeEach(async () => {
  build = await FixtureBuild.create();
});
afterEach(async () => {
  await build[Symbol.asyncDispose]();
});

let hubCount = 0;

async function startHost(settings: Record<string, string> = {}): Promise<HostProcess> {
  return HostProcess.start({ build, connectionString: azurite.connectionString, settings });
}

describe("a host that is killed", () => {
  test("is continued by the next one, again and again, without losing a step", async () => {
    const settings = { HUB_NAME: `KillHub${hubCount++}` };
    const input = { count: 8, delayMs: 100 };
    let urls: Record<string, string> = {};
    for (const seenCount of [2, 5]) {
      await using host = await startHost(settings);
      if (seenCount === 2) urls = await host.start("chain", "killed", input);
      await eventually("progress", () =>
        host.journal("record").length >= seenCount ? true : undefined,
      );
      await host.end("SIGKILL");
    }
    await using last = await startHost(settings);
    // The port has changed; the address otherwise has not.
    const path = (urls["statusQueryGetUri"] ?? "").replace(/^http:\/\/[^/]+/, last.url);
    const status = await last.untilEnded({ id: "killed", statusQueryGetUri: path });
    const keys = Array.from({ length: 8 }, (_, index) => `killed-${index}`);
    expect(status).toMatchObject({ runtimeStatus: "Completed", output: keys });
    const recorded = new Set(last.journal("record").map(({ key }) => key));
    expect([...recorded].sort()).toEqual(keys);
  });

  test("leaves the queue message it was working on to the next one", async () => {
    const settings = { HUB_NAME: `QueueHub${hubCount++}` };
    const queue = QueueServiceClient.fromConnectionString(azurite.connectionString).getQueueClient(
      "work-items",
    );
    await queue.createIfNotExists();
    {
      await using first = await startHost(settings);
      await queue.sendMessage(Buffer.from('{"slow":true}').toString("base64"));
      await eventually("the message", () => first.journal("consume")[0]);
      await first.end("SIGKILL");
      expect(first.journal("consumed")).toEqual([]);
    }
    await using second = await startHost(settings);
    await eventually("the message again", () => second.journal("consumed")[0]);
    expect(second.journal("consume").map(({ dequeueCount }) => dequeueCount)).toEqual([1, 2]);
  });

  test("makes up a timer run that was missed, once", async () => {
    const settings = { HUB_NAME: `TimerHub${hubCount++}`, TICK_SCHEDULE: "* * * * * *" };
    {
      await using first = await startHost(settings);
      await eventually("a tick", () => (first.journal("tick-end").length > 0 ? true : undefined));
      await first.end("SIGTERM");
    }
    // A host can be back within the second: at least one run is missed.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await using second = await startHost(settings);
    await eventually("two more ticks", () =>
      second.journal("tick-begin").length >= 3 ? true : undefined,
    );
    const pastDue = second.journal("tick-begin").map((entry) => entry["pastDue"]);
    expect(pastDue.filter((value) => value === true).length).toBe(1);
  });
});

describe("a host that is told to end", () => {
  test("lets a running activity finish and exits with 0", async () => {
    const settings = { HUB_NAME: `StopHub${hubCount++}` };
    await using host = await startHost(settings);
    await host.start("chain", "stopped", { count: 1, delayMs: 700 });
    await eventually("the activity", () =>
      host.journal("record").length === 1 ? true : undefined,
    );
    expect(await host.end("SIGTERM")).toBe(0);
    expect(
      host.logLines.some((line) => line.includes("Executed 'Functions.record' (Succeeded)")),
    ).toBe(true);
  });
});

describe("a function that exceeds functionTimeout", () => {
  test("ends the process with a clear log", async () => {
    const settings = { HUB_NAME: `TimeoutHub${hubCount++}` };
    await using host = await startHost(settings);
    void host.fetch("/api/hangs").catch(() => undefined); // the process dies under the request
    expect(await host.untilExit()).toBe(86);
    expect(
      host.logLines.some((line) => line.includes("exceeded by function: Functions.hangs")),
    ).toBe(true);
  });
});
