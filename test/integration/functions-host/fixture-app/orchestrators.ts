import * as df from "durable-functions";
import type { OrchestrationContext } from "durable-functions";

function secondsFromNow(context: OrchestrationContext, seconds: number): Date {
  return new Date(context.df.currentUtcDateTime.getTime() + seconds * 1000);
}

df.app.orchestration("chain", function* (context) {
  const { count = 20, delayMs = 0 } =
    context.df.getInput<{ count?: number; delayMs?: number }>() ?? {};
  const keys: unknown[] = [];
  for (let index = 0; index < count; index += 1) {
    const key = `${context.df.instanceId}-${index}`;
    keys.push(yield context.df.callActivity("record", { key, delayMs }));
  }
  return keys;
});
df.app.orchestration("fanOut", function* (context) {
  const tasks = Array.from({ length: 30 }, (_, value) =>
    context.df.callActivity("echo", { value }),
  );
  const results = (yield context.df.Task.all(tasks)) as { value: number }[];
  return results.reduce((sum, { value }) => sum + value, 0);
});
df.app.orchestration("inputs", function* (context) {
  const seen: unknown[] = [];
  for (const input of [{ a: [1] }, [1, "2"], 3, "text", "7", true, null]) {
    seen.push(yield context.df.callActivity("typeName", input));
  }
  return seen;
});
df.app.orchestration("retries", function* (context) {
  const retry = new df.RetryOptions(100, 3);
  const key = context.df.instanceId;
  const attempt = yield context.df.callActivityWithRetry("flaky", retry, { key, failures: 2 });
  try {
    yield context.df.callActivityWithRetry("broken", new df.RetryOptions(100, 2));
    return "not reached";
  } catch (error) {
    const after = yield context.df.callActivity("echo", "after");
    return { attempt, after, message: String(error) };
  }
});
df.app.orchestration("parent", function* (context) {
  const retry = new df.RetryOptions(100, 2);
  const child = yield context.df.callSubOrchestrator(
    "child",
    { n: 5 },
    `${context.df.instanceId}.c`,
  );
  const unnamed = yield context.df.callSubOrchestrator("child", { n: 7 });
  try {
    yield context.df.callSubOrchestratorWithRetry(
      "failing",
      retry,
      {},
      `${context.df.instanceId}.f`,
    );
    return "not reached";
  } catch (error) {
    return { child, unnamed, message: String(error) };
  }
});
df.app.orchestration("child", function* (context) {
  const { n } = context.df.getInput<{ n: number }>() ?? { n: 0 };
  return yield context.df.callActivity("echo", { doubled: n * 2 });
});
df.app.orchestration("failing", function* (context) {
  yield context.df.callActivity("broken");
});
df.app.orchestration("approval", function* (context) {
  const { seconds } = context.df.getInput<{ seconds: number }>() ?? { seconds: 60 };
  context.df.setCustomStatus({ waitingFor: "Approval" });
  const timeout = context.df.createTimer(secondsFromNow(context, seconds));
  const event = context.df.waitForExternalEvent("Approval");
  const winner = yield context.df.Task.any([event, timeout]);
  if (winner === timeout) return "timed out";
  timeout.cancel();
  return event.result;
});
df.app.orchestration("eternal", function* (context) {
  const { round = 1, sum = 0 } = context.df.getInput<{ round?: number; sum?: number }>() ?? {};
  yield context.df.callActivity("echo", { round });
  if (round < 4) {
    context.df.continueAsNew({ round: round + 1, sum: sum + round });
    return null;
  }
  return sum + round;
});
df.app.orchestration("counting", function* (context) {
  const entity = new df.EntityId("Counter", context.df.instanceId);
  yield context.df.callEntity(entity, "add", 5);
  context.df.signalEntity(entity, "add", 2);
  context.df.signalEntity(entity, "forward");
  const total = yield context.df.callEntity(entity, "get");
  try {
    yield context.df.callEntity(entity, "nonsense");
    return "not reached";
  } catch (error) {
    return { total, failed: error instanceof Error };
  }
});
df.app.orchestration("unknownActivity", function* (context) {
  yield context.df.callActivity("doesNotExist");
});
df.app.orchestration("tooMuchStatus", function* (context) {
  context.df.setCustomStatus("x".repeat(9000));
  yield context.df.callActivity("echo", 1);
});
df.app.orchestration("bigValues", function* (context) {
  const text = (yield context.df.callActivity("big", 200_000)) as string;
  const again = (yield context.df.callActivity("echo", { text })) as { text: string };
  return again.text.length;
});
df.app.orchestration("careless", function* (context) {
  const timer = context.df.createTimer(secondsFromNow(context, 1));
  const work = context.df.callActivity("echo", "quick");
  yield context.df.Task.any([work, timer]);
  return work.result; // the timer is not cancelled
});
df.app.orchestration("locking", function* (context) {
  yield context.df.lock([new df.EntityId("Counter", "locked")]);
});
df.app.orchestration("nothingToWaitFor", function* (context) {
  yield context.df.Task.all([]);
});
let calls = 0;
df.app.orchestration("fickle", function* (context) {
  calls += 1;
  yield context.df.callActivity(calls % 2 === 0 ? "echo" : "big", calls);
});
