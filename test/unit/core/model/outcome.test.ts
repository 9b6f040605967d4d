import { describe, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { failureOf, redact } from "#core/model/outcome.ts";
import { resourceGroupOf } from "#core/model/resource-id.ts";
import { slotKey } from "#core/model/session.ts";

describe("redaction", () => {
  it.each([
    ["https://a.example/x?sv=1&sig=AbC%2F=&se=2", "https://a.example/x?sv=1&sig=***&se=2"],
    ["Authorization: Bearer abcdefgh.ijklmnop", "Authorization: Bearer ***"],
    ["a bearer token is missing", "a bearer token is missing"],
    ["token eyJhbGciOi.eyJzdWIi.c2ln!", "token ***!"],
    ['{"password":"hunter2"}', '{"password":"***"}'],
    ["AccountKey=abc==;Endpoint=x", "AccountKey=***;Endpoint=x"],
    ["disk web-os was read", "disk web-os was read"],
  ])("%s", (text, expected) => {
    expect(redact(text)).toBe(expected);
  });
});

describe("failure", () => {
  it("keeps code and advice of our errors, and hides secrets of all", () => {
    const ours = new HoldfastError("Busy", "try ?sig=abc", { retry: "backoff" });
    expect(failureOf(ours)).toEqual({
      ok: false,
      error: { code: "Busy", message: "try ?sig=***", retry: "backoff" },
    });
    const throttled = new HoldfastError("TooManyRequests", "slower", {
      retry: "backoff",
      context: { status: 429, retryAfterSeconds: 300 },
    });
    expect(failureOf(throttled).error.retryAfterSeconds).toBe(300);
    expect(failureOf(new TypeError("x")).error).toMatchObject({
      code: "Unexpected",
      retry: "never",
    });
  });
});

it("reads Resource Manager ids and refuses others", () => {
  expect(resourceGroupOf("/SUBSCRIPTIONS/s/resourcegroups/g/providers/x")).toEqual({
    subscriptionId: "s",
    resourceGroup: "g",
  });
  expect(() => resourceGroupOf("/subscriptions/s")).toThrow(
    expect.objectContaining({ code: "InvalidResourceId" }),
  );
});

it("writes slots so that they sort by time", () => {
  expect(slotKey(new Date("2026-11-22T01:30:00.000Z"))).toBe("20261122T013000Z");
});
