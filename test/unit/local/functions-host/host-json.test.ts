import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { functionTimeoutMsOf, parseHostJson } from "#local/functions-host/host-json.ts";

describe("host.json", () => {
  test("gets the documented defaults", () => {
    const { hostJson, unknownKeys } = parseHostJson('{"version":"2.0"}');
    expect(unknownKeys).toEqual([]);
    expect(functionTimeoutMsOf(hostJson)).toBe(1_800_000);
    expect(hostJson.extensions.http.routePrefix).toBe("api");
    expect(hostJson.extensions.queues).toMatchObject({
      batchSize: 16,
      maxDequeueCount: 5,
      visibilityTimeout: 0,
      maxPollingInterval: 60_000,
      messageEncoding: "base64",
    });
    expect(hostJson.extensions.durableTask).toMatchObject({
      hubName: "TestHubName",
      maxConcurrentActivityFunctions: 10,
    });
  });

  test("of the product is understood completely", () => {
    const text = readFileSync(new URL("../../../../host.json", import.meta.url), "utf8");
    expect(parseHostJson(text).unknownKeys).toEqual([]);
  });

  test("names every key without effect, and keeps the others", () => {
    const { hostJson, unknownKeys } = parseHostJson(
      JSON.stringify({
        version: "2.0",
        retry: {},
        functionTimeout: "-1",
        extensions: { queues: { batchsize: 1, batchSize: 2 }, eventHubs: {} },
      }),
    );
    expect([...unknownKeys].sort()).toEqual([
      "extensions.eventHubs",
      "extensions.queues.batchsize",
      "retry",
    ]);
    expect(hostJson.extensions.queues.batchSize).toBe(2);
    expect(functionTimeoutMsOf(hostJson)).toBeUndefined();
  });

  test.each([
    [{ version: "1.0" }, "version"],
    [{ version: "2.0", functionTimeout: "soon" }, "functionTimeout"],
    [{ version: "2.0", extensions: { queues: { batchSize: 64 } } }, "extensions.queues.batchSize"],
  ])("is refused for a wrong value: %j", (value, path) => {
    expect(() => parseHostJson(JSON.stringify(value))).toThrow(path);
  });
});
