import * as df from "durable-functions";
import { journal } from "./journal.ts";

const attempts = new Map<string, number>();

df.app.activity("echo", { handler: (input: unknown) => input });
df.app.activity("typeName", {
  handler: (input: unknown) => `${typeof input}:${JSON.stringify(input)}`,
});
df.app.activity("record", {
  handler: async (input: { key: string; delayMs: number }) => {
    journal({ kind: "record", key: input.key, pid: process.pid });
    await new Promise((resolve) => setTimeout(resolve, input.delayMs));
    return input.key;
  },
});
df.app.activity("flaky", {
  handler: (input: { key: string; failures: number }) => {
    const attempt = (attempts.get(input.key) ?? 0) + 1;
    attempts.set(input.key, attempt);
    if (attempt <= input.failures) throw new Error(`attempt ${attempt} failed`);
    return attempt;
  },
});
df.app.activity("broken", {
  handler: () => {
    throw new Error("never works");
  },
});
df.app.activity("big", { handler: (sizeChars: number) => "x".repeat(sizeChars) });

df.app.entity<number>("Counter", (context) => {
  const before = context.df.getState(() => 0) ?? 0;
  switch (context.df.operationName) {
    case "add":
      context.df.setState(before + Number(context.df.getInput()));
      context.df.return(before + Number(context.df.getInput()));
      break;
    case "get":
      context.df.return(before);
      break;
    case "forward":
      context.df.signalEntity(new df.EntityId("Counter", "forwarded"), "add", before);
      break;
    case undefined:
    default:
      throw new Error("unknown operation");
  }
});
