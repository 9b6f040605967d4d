import { expect, test } from "vitest";
import { AppSettings } from "#local/functions-host/settings.ts";

test("settings have names without case, and an empty one counts as none", () => {
  const settings = new AppSettings({ Some__Name: "value", empty: "", missing: undefined });
  expect(settings.get("some:name")).toBe("value");
  expect(settings.get("SOME__NAME")).toBe("value");
  expect(settings.get("empty")).toBeUndefined();
});

test("%NAME% is replaced, and must resolve", () => {
  const settings = new AppSettings({ QUEUE: "jobs" });
  expect(settings.expand("%queue%-%QUEUE%")).toBe("jobs-jobs");
  expect(() => settings.expand("%OTHER%")).toThrow("'%OTHER%' does not resolve to a value");
});
