/**
 * The control plane: an Azure Functions app. This module registers every function when it is loaded
 * and is the only one with such an effect. Wrong app settings stop the app here, with their names.
 */
import * as df from "durable-functions";
import { ACTIVITIES } from "./activities/all-activities.ts";
import { EVENT_QUEUE } from "./activities/workers.ts";
import { loadConfig } from "./config.ts";
import { createContext } from "./context.ts";
import { diskAccessSlots } from "./entities/disk-access-slots.ts";
import { regionTurn } from "./entities/region-turn.ts";
import { workerPool } from "./entities/worker-pool.ts";
import { workList } from "./entities/work-list.ts";
import { createAuthenticate, createIssuerKeys } from "./http/authentication.ts";
import { serveEndpoint } from "./http/endpoint.ts";
import { createOrchestrationClient } from "./orchestration-client.ts";
import { ORCHESTRATOR_HANDLERS } from "./orchestrators/all-orchestrators.ts";
import { ENTITIES } from "./orchestrators/names.ts";
import { ENDPOINTS } from "./triggers/all-endpoints.ts";
import { runScheduleTick } from "./triggers/schedule-tick.timer.ts";
import { runSweepTick } from "./triggers/sweep.timer.ts";
import { handleWorkerEvent } from "./triggers/worker-events.queue.ts";

const config = loadConfig(process.env);
const context = createContext(config);
const authenticate = createAuthenticate({
  issuer: config.api.issuer,
  audience: config.api.audience,
  keys: createIssuerKeys(config.api.jwksUrl),
  clock: context.clock,
});

for (const activity of Object.values(ACTIVITIES)) {
  df.app.activity(activity.name, { handler: (input: unknown) => activity.run(context, input) });
}
for (const [name, handler] of Object.entries(ORCHESTRATOR_HANDLERS)) {
  df.app.orchestration(name, handler);
}
df.app.entity(ENTITIES.workerPool, workerPool);
df.app.entity(ENTITIES.workList, workList);
df.app.entity(ENTITIES.diskAccessSlots, diskAccessSlots);
df.app.entity(ENTITIES.regionTurn, regionTurn);

for (const endpoint of ENDPOINTS) {
  df.app.client.http(endpoint.name, {
    methods: [endpoint.method],
    authLevel: "anonymous",
    route: endpoint.route,
    handler: (request, client) =>
      serveEndpoint(endpoint, request, {
        context,
        authenticate,
        client: createOrchestrationClient(client),
      }),
  });
}
df.app.client.timer("schedule-tick", {
  schedule: "%HOLDFAST_SCHEDULE_TICK%",
  handler: (_timer, client) => runScheduleTick(context, createOrchestrationClient(client)),
});
// All functions of an app share one space of names: `sweep` is the orchestrator.
df.app.client.timer("sweep-tick", {
  schedule: "%HOLDFAST_SWEEP_TICK%",
  handler: (_timer, client) => runSweepTick(context, createOrchestrationClient(client)),
});
df.app.client.storageQueue("worker-events", {
  queueName: EVENT_QUEUE,
  connection: "HOLDFAST_STORAGE",
  handler: (message, client) =>
    handleWorkerEvent(context, createOrchestrationClient(client), message),
});
