import { expect, it } from "vitest";
import { codeOf, isRetryable } from "#core/lib/errors.ts";
import { callInTime, readInTime } from "#azure/storage/call-in-time.ts";

const bounds = { tryMs: 20, triesMax: 3 };

function neverAnswered(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
  });
}

it("ends a try that gets no answer and takes the answer of the next one", async () => {
  let tries = 0;
  const answer = await callInTime("send a message", bounds, async (signal) => {
    tries++;
    return tries === 1 ? neverAnswered(signal) : "sent";
  });
  expect([answer, tries]).toEqual(["sent", 2]);
});

it("says what got no answer, after the last try, and that it may be repeated", async () => {
  let tries = 0;
  const call = callInTime("send a message", bounds, (signal) => {
    tries++;
    return neverAnswered(signal);
  });
  const error = await call.catch((cause: unknown) => cause);
  expect([codeOf(error), isRetryable(error), tries]).toEqual(["NoAnswer", true, 3]);
  expect(String(error)).toContain("no answer when trying to send a message, 3 times");
});

it("passes a refusal on at once", async () => {
  let tries = 0;
  const refusal = Object.assign(new Error("no such queue"), {
    statusCode: 404,
    code: "QueueNotFound",
  });
  const call = callInTime("send a message", bounds, async () => {
    tries++;
    throw refusal;
  });
  expect(codeOf(await call.catch((cause: unknown) => cause))).toBe("QueueNotFound");
  expect(tries).toBe(1);
});

it("reads what is not there as nothing, and still in time", async () => {
  const missing = Object.assign(new Error("no such blob"), { statusCode: 404 });
  const none = readInTime("read a blob", bounds, () => Promise.reject(missing));
  expect(await none).toBeUndefined();
  const late = readInTime("read a blob", bounds, neverAnswered);
  expect(codeOf(await late.catch((cause: unknown) => cause))).toBe("NoAnswer");
});
