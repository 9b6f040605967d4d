import { expect, test } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import { backupJob, startAgent } from "./agent-fixture.ts";

const done: JobResult = { kind: "backup", pointId: "point-1", disks: [] };

test("enrols with every heartbeat until the first job arrives, beats ever after", async () => {
  await using agent = startAgent(async () => done);
  const { channel } = agent;
  await channel.waitFor("heartbeat", 3);
  expect(channel.bodies("enrolled").length).toBeGreaterThanOrEqual(3);
  expect(channel.bodies("enrolled")[0]).toMatchObject({ agentVersion: "1.2.3" });
  const keys = channel.bodies("enrolled").map(({ publicKey }) => publicKey.x);
  expect(new Set(keys).size).toBe(1);

  await channel.dispatch(backupJob());
  await channel.waitFor("job-succeeded");
  const enrolments = channel.bodies("enrolled").length;
  await channel.waitFor("heartbeat", channel.bodies("heartbeat").length + 3);
  expect(channel.bodies("enrolled").length).toBe(enrolments);
});

test("sequence numbers ascend", async () => {
  await using agent = startAgent(async () => done);
  await agent.channel.waitFor("heartbeat", 3);
  const sequences = agent.channel.sent.map(({ sequence }) => sequence);
  expect(sequences).toEqual([...new Set(sequences)].sort((one, other) => one - other));
});

test("takes a job, deletes its message before doing it, and reports its result", async () => {
  const deletedAtStart: string[] = [];
  await using agent = startAgent(async (job) => {
    deletedAtStart.push(...agent.channel.deletedIds);
    expect(job.jobId).toBe("job-1");
    return done;
  });
  await agent.channel.dispatch(backupJob(), "m1");
  const report = await agent.channel.waitFor("job-succeeded");
  expect(report).toEqual({ kind: "job-succeeded", jobId: "job-1", attempt: 1, result: done });
  expect(deletedAtStart).toEqual(["m1"]);
});

test("does the same dispatch once, and a later attempt again", async () => {
  let runs = 0;
  await using agent = startAgent(async () => {
    runs += 1;
    return done;
  });
  const { channel } = agent;
  const text = await channel.dispatch(backupJob());
  await channel.waitFor("job-succeeded");
  channel.jobs.push({ id: "replay", text, dequeueCount: 1 });
  await channel.dispatch(backupJob({ attempt: 2 }));
  expect(await channel.waitFor("job-succeeded", 2)).toMatchObject({ attempt: 2 });
  expect(runs).toBe(2);
  expect(channel.deletedIds).toContain("replay");
  expect(agent.lines.some((line) => line.includes("was taken before"))).toBe(true);
});

test("refuses jobs of others, expired jobs and noise without a word to the control plane", async () => {
  let runs = 0;
  await using agent = startAgent(async () => {
    runs += 1;
    return done;
  });
  const { channel } = agent;
  await channel.dispatch(backupJob({ jobId: "foreign", workerId: "worker-2" }));
  await channel.dispatch(backupJob({ jobId: "old", expiresAt: "2026-11-21T00:00:00Z" }));
  channel.jobs.push({ id: "noise", text: "not json", dequeueCount: 1 });
  const unsealed = JSON.stringify({ carrier: "inline", jobId: "x", sealed: "a.b.c.d.e" });
  channel.jobs.push({ id: "unsealed", text: unsealed, dequeueCount: 1 });
  await channel.dispatch(backupJob({ jobId: "good" }));
  await channel.waitFor("job-succeeded");
  expect(runs).toBe(1);
  expect(channel.bodies("job-failed")).toEqual([]);
  expect(channel.deletedIds).toHaveLength(5);
  expect(agent.lines.filter((line) => line.includes("job-refused"))).toHaveLength(4);
});

test("a job message that was stolen from another worker's queue opens nowhere else", async () => {
  let runs = 0;
  const count = async () => {
    runs += 1;
    return done;
  };
  await using owner = startAgent(count);
  await using thief = startAgent(count);
  const text = await owner.channel.dispatch(backupJob());
  await owner.channel.waitFor("job-succeeded");
  // It shows nothing but the job's id, and another worker's key does not open it.
  expect(text).not.toContain("sig=");
  thief.channel.jobs.push({ id: "stolen", text, dequeueCount: 1 });
  // Back in its own queue it is a dispatch that was done.
  owner.channel.jobs.push({ id: "again", text, dequeueCount: 1 });
  await thief.channel.dispatch(backupJob({ jobId: "own" }));
  await owner.channel.dispatch(backupJob({ jobId: "next" }));
  await thief.channel.waitFor("job-succeeded");
  await owner.channel.waitFor("job-succeeded", 2);
  expect(runs).toBe(3);
  const refusals = [thief, owner].map(({ lines }) =>
    lines.filter((line) => line.includes("job-refused")),
  );
  expect(refusals.map(({ length }) => length)).toEqual([1, 1]);
  expect(refusals.join()).toMatch(/not sealed to this worker's key.*taken before/s);
});

test("reads a large job from its blob", async () => {
  await using agent = startAgent(async () => done);
  const { channel } = agent;
  await channel.dispatch(backupJob({ jobId: "inline" }), "carrier");
  await channel.waitFor("job-succeeded");
  const text = await channel.dispatch(backupJob({ jobId: "large" }));
  channel.jobs.length = 0;
  channel.blobs.set("jobs/1", JSON.parse(text).sealed);
  const message = { carrier: "blob", jobId: "large", blobName: "jobs/1" };
  channel.jobs.push({ id: "blob", text: JSON.stringify(message), dequeueCount: 1 });
  expect(await channel.waitFor("job-succeeded", 2)).toMatchObject({ jobId: "large" });
});

test("reports a failure with its code and advice, without secrets", async () => {
  await using agent = startAgent(async () => {
    const message = "GET https://md-1.test/c/abcd?sv=1&sig=diskgrant was refused";
    throw new HoldfastError("ServerBusy", message, { retry: "backoff" });
  });
  await agent.channel.dispatch(backupJob());
  const { error } = await agent.channel.waitFor("job-failed");
  expect(error).toMatchObject({ code: "ServerBusy", retry: "backoff" });
  expect(error.message).toContain("https://md-1.test/c/abcd");
  expect(error.message).not.toContain("diskgrant");
});

test("sends a result until the queue accepts it", async () => {
  await using agent = startAgent(async () => {
    agent.channel.sendFailures = 5;
    return done;
  });
  await agent.channel.dispatch(backupJob());
  await agent.channel.waitFor("job-succeeded");
  expect(agent.channel.sendFailures).toBe(0);
});

test("shows progress while a job runs", async () => {
  const finish = Promise.withResolvers<JobResult>();
  await using agent = startAgent(async (_job, board) => {
    board.set({ diskId: "d", doneBytes: 5, totalBytes: 9, readBytes: 4, storedBytes: 3 });
    return finish.promise;
  });
  await agent.channel.dispatch(backupJob());
  const { disks } = await agent.channel.waitFor("progress");
  expect(disks).toMatchObject([{ diskId: "d", doneBytes: 5 }]);
  finish.resolve(done);
  await agent.channel.waitFor("job-succeeded");
  expect(agent.channel.bodies("progress")).toHaveLength(1);
});

test("gives up the running job when it is told to stop, and says so", async () => {
  const started = Promise.withResolvers<void>();
  const agent = startAgent((_job, _board, signal) => {
    started.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  });
  await agent.channel.dispatch(backupJob());
  await started.promise;
  await agent.stop();
  const failed = agent.channel.bodies("job-failed");
  expect(failed).toMatchObject([{ error: { code: "WorkerStopped", retry: "backoff" } }]);
});

test("no secret of a job comes into the log", async () => {
  await using agent = startAgent(async (job) => {
    throw new Error(`cannot do ${JSON.stringify(job)} with Bearer eyJhbGciOi.eyJzdWIi.c2ln`);
  });
  agent.channel.sendFailures = 1;
  await agent.channel.dispatch(backupJob());
  await agent.channel.waitFor("job-failed");
  const everything = agent.lines.join("\n") + JSON.stringify(agent.channel.sent);
  expect(agent.lines.some((line) => line.includes("job-failed"))).toBe(true);
  for (const secret of ["hunter2", "diskgrant", "topsecret", "eyJzdWIi"]) {
    expect(everything).not.toContain(secret);
  }
});
