import { expect, test } from "vitest";
import { parseAgentConfig } from "#worker-agent/config.ts";

const secret = Buffer.alloc(32, 9).toString("base64url");
const settings = {
  HOLDFAST_WORKER_ID: "w",
  HOLDFAST_WORKER_SECRET: secret,
  HOLDFAST_WORKER_CLIENT_ID: "c",
  HOLDFAST_JOB_QUEUE_URL: "https://q.test/jobs",
  HOLDFAST_EVENT_QUEUE_URL: "https://q.test/events",
  HOLDFAST_JOB_CONTAINER_URL: "https://b.test/holdfast",
};

test("reads the settings; the heartbeat has a default", () => {
  const config = parseAgentConfig({ ...settings, OTHER: "x" });
  expect(config).toMatchObject({ workerId: "w", heartbeatMs: 15_000 });
  expect(config.workerSecret).toHaveLength(32);
  expect(parseAgentConfig({ ...settings, HOLDFAST_HEARTBEAT_SECONDS: "2" }).heartbeatMs).toBe(2000);
});

test("names what is wrong without showing a value", () => {
  const wrong = { ...settings, HOLDFAST_JOB_QUEUE_URL: "hunter2", HOLDFAST_WORKER_SECRET: "short" };
  expect(() => parseAgentConfig(wrong)).toThrow(/HOLDFAST_WORKER_SECRET, HOLDFAST_JOB_QUEUE_URL/);
  expect(() => parseAgentConfig(wrong)).not.toThrow(/hunter2|short/);
  const long = { ...settings, HOLDFAST_WORKER_SECRET: `${secret}AAAA` };
  expect(() => parseAgentConfig(long)).toThrow(/32 bytes/);
});
