import { app, type HttpRequest, output } from "@azure/functions";
import * as df from "durable-functions";
import { journal } from "./journal.ts";

async function jsonBody(request: HttpRequest): Promise<unknown> {
  const text = await request.text();
  return text === "" ? undefined : JSON.parse(text);
}

app.http("echo-http", {
  route: "echo/{id:int}/{*rest}",
  methods: ["GET", "POST"],
  authLevel: "anonymous",
  handler: async (request, context) => {
    context.info("echo was asked");
    return {
      status: 201,
      headers: { "x-echo": "yes" },
      cookies: [{ name: "taste", value: "sweet", httpOnly: true }],
      jsonBody: {
        method: request.method,
        params: request.params,
        query: Object.fromEntries(request.query),
        header: request.headers.get("x-given"),
        body: await request.text(),
      },
    };
  },
});
app.http("echo-me", {
  route: "echo/me",
  methods: ["GET"],
  authLevel: "anonymous",
  handler: () => ({ body: "literal" }),
});
app.http("secret", {
  methods: ["GET"],
  handler: () => ({ body: "for callers with a key" }),
  authLevel: "function",
});
app.http("admin-only", {
  methods: ["GET"],
  handler: () => ({ body: "admin" }),
  authLevel: "admin",
});
app.http("nothing", {
  methods: ["GET"],
  authLevel: "anonymous",
  handler: () => undefined as never,
});
app.http("throws", {
  methods: ["GET"],
  authLevel: "anonymous",
  handler: () => {
    throw new Error("handler failed");
  },
});
app.http("hangs", {
  methods: ["GET"],
  authLevel: "anonymous",
  handler: async () => new Promise<never>(() => undefined),
});

app.timer("tick", {
  schedule: "%TICK_SCHEDULE%",
  handler: async (timer) => {
    journal({ kind: "tick-begin", pastDue: timer.isPastDue, next: timer.scheduleStatus.next });
    await new Promise((resolve) => setTimeout(resolve, 1050));
    journal({ kind: "tick-end" });
  },
});
app.timer("boot", {
  schedule: "0 0 0 1 1 *",
  runOnStartup: true,
  handler: () => journal({ kind: "boot" }),
});

app.storageQueue("consume", {
  queueName: "%WORK_QUEUE%",
  connection: "WorkStorage",
  return: output.storageQueue({ queueName: "results", connection: "WorkStorage" }),
  handler: async (message: unknown, context) => {
    const { dequeueCount } = context.triggerMetadata ?? {};
    journal({ kind: "consume", message, dequeueCount: Number(dequeueCount) });
    if (typeof message === "object" && message !== null && "fail" in message) {
      throw new Error("cannot consume this");
    }
    if (typeof message === "object" && message !== null && "slow" in message) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      journal({ kind: "consumed", message });
    }
    return [{ done: message }, "text"];
  },
});
app.storageQueue("results", {
  queueName: "results",
  connection: "WorkStorage",
  handler: (message: unknown) => journal({ kind: "result", message }),
});

app.http("start", {
  route: "start/{name}/{id}",
  methods: ["POST"],
  authLevel: "anonymous",
  extraInputs: [df.input.durableClient()],
  handler: async (request, context) => {
    const client = df.getClient(context);
    const { name = "", id = "" } = request.params;
    const instanceId = await client.startNew(name, {
      instanceId: id,
      input: await jsonBody(request),
    });
    return client.createCheckStatusResponse(request, instanceId);
  },
});
app.http("raise", {
  route: "raise/{id}/{event}",
  methods: ["POST"],
  authLevel: "anonymous",
  extraInputs: [df.input.durableClient()],
  handler: async (request, context) => {
    const { id = "", event = "" } = request.params;
    await df.getClient(context).raiseEvent(id, event, await jsonBody(request));
    return { status: 202 };
  },
});
app.http("entity", {
  route: "entity/{key}",
  methods: ["GET", "POST"],
  authLevel: "anonymous",
  extraInputs: [df.input.durableClient()],
  handler: async (request, context) => {
    const client = df.getClient(context);
    const entityId = new df.EntityId("Counter", request.params["key"] ?? "");
    if (request.method === "POST") {
      await client.signalEntity(entityId, "add", await jsonBody(request));
      return { status: 202 };
    }
    const state = await client.readEntityState(entityId);
    return { jsonBody: { exists: state.entityExists, state: state.entityState ?? null } };
  },
});
app.http("list", {
  methods: ["GET"],
  authLevel: "anonymous",
  extraInputs: [df.input.durableClient()],
  handler: async (_request, context) => {
    const runtimeStatus = [df.OrchestrationRuntimeStatus.Completed];
    const found = await df.getClient(context).getStatusBy({ runtimeStatus });
    return { jsonBody: found.map(({ instanceId }) => instanceId) };
  },
});
