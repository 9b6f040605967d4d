import { z } from "zod";
import {
  workerConfigurationInputSchema,
  type WorkerConfiguration,
} from "#core/model/worker-configuration.ts";
import type { WorkerRecord } from "#core/model/worker-record.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, wrongField } from "../http/problem.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import { changed } from "./policies.http.ts";

/** `/api/v1/workers` and `/api/v1/worker-configurations`: which workers there are and may be. */
const regionName = z.string().regex(/^[a-z0-9]{1,60}$/);

function regionOf(call: ApiCall): string {
  const parsed = regionName.safeParse(call.param("region"));
  if (!parsed.success)
    throw wrongField("region", "it is no name of an Azure region, e.g. westeurope");
  return parsed.data;
}

/** What an operator sees of a worker: no key, no address of a queue. */
function shownWorker(worker: WorkerRecord): object {
  const { workerId, location, state, stateAt, reason, profile, launch } = worker;
  const { createdAt, lastSeenAt, agentVersion, vmResourceId, dispatch } = worker;
  return {
    workerId,
    location,
    state,
    stateAt,
    reason: reason ?? null,
    profile,
    vmSize: launch.vmSize,
    priority: launch.priority,
    osDisk: launch.osDisk,
    vmResourceId,
    jobId: state === "busy" ? (dispatch?.jobId ?? null) : null,
    agentVersion: agentVersion ?? null,
    createdAt,
    lastSeenAt: lastSeenAt ?? null,
  };
}

/** The operator's configurations, and the automatic one of each other region that is in use. */
async function listConfigurations({ context }: ApiCall): Promise<readonly WorkerConfiguration[]> {
  const locations = new Set<string>();
  for await (const { id } of context.records.regions.list()) locations.add(id);
  for await (const { id } of context.records.workerConfigurations.list()) locations.add(id);
  const found: WorkerConfiguration[] = [];
  for (const location of [...locations].toSorted())
    found.push(await readWorkerConfiguration(context, location));
  return found;
}

export const workerEndpoints: readonly Endpoint[] = [
  {
    name: "list-workers-of-all-regions",
    method: "GET",
    route: "v1/workers",
    async handle({ context }) {
      const value: object[] = [];
      for await (const worker of context.records.workers.list())
        value.push(shownWorker(worker.value));
      return { status: 200, body: { value } };
    },
  },
  {
    name: "list-worker-configurations",
    method: "GET",
    route: "v1/worker-configurations",
    handle: async (call) => ({ status: 200, body: { value: await listConfigurations(call) } }),
  },
  {
    name: "get-worker-configuration",
    method: "GET",
    route: "v1/worker-configurations/{region}",
    async handle(call) {
      const location = regionOf(call);
      const found = await call.context.records.workerConfigurations.read(location);
      const body = await readWorkerConfiguration(call.context, location);
      return { status: 200, body, ...(found === undefined ? {} : { version: found.version }) };
    },
  },
  {
    name: "replace-worker-configuration",
    method: "PUT",
    route: "v1/worker-configurations/{region}",
    async handle(call) {
      const { records, clock } = call.context;
      const location = regionOf(call);
      const input = await call.body(workerConfigurationInputSchema);
      const updatedAt = clock().toISOString();
      const configuration = { ...input, location, origin: "operator", updatedAt } as const;
      const options = call.ifVersion === undefined ? {} : { ifVersion: call.ifVersion };
      const written = await records.workerConfigurations.put(location, configuration, options);
      const stored = await records.workerConfigurations.read(location);
      if (written === "changed" || stored === undefined) throw changed("WorkerConfiguration");
      return { status: 200, body: configuration, version: stored.version };
    },
  },
  {
    /** The region goes back to the automatic one. */
    name: "delete-worker-configuration",
    method: "DELETE",
    route: "v1/worker-configurations/{region}",
    async handle(call) {
      const { workerConfigurations } = call.context.records;
      const location = regionOf(call);
      const found = await workerConfigurations.read(location);
      if (found === undefined) throw notFound("WorkerConfiguration", location);
      if (call.ifVersion !== undefined && call.ifVersion !== found.version)
        throw changed("WorkerConfiguration");
      await workerConfigurations.delete(location);
      return { status: 204 };
    },
  },
];
