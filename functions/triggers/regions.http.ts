import { planRegion } from "#core/network/plan-region.ts";
import {
  regionNameSchema,
  regionSettingsSchema,
  type RegionChange,
  type RegionRecord,
  type RegionSettings,
} from "#core/model/region-record.ts";
import { slotKey } from "#core/model/session.ts";
import { readExpectedDiskAccesses } from "../activities/expected-disk-accesses.ts";
import { readRegion } from "../activities/region-facts.ts";
import { repositoriesOf } from "../activities/regions.ts";
import type { AppContext } from "../app-context.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem, wrongField } from "../http/problem.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";
import type { PrepareRegionInput } from "../orchestrators/prepare-region.ts";

/** `/api/v1/regions`: the private network of each region, its plan, and what an operator wants of it. */
interface RegionView {
  readonly location: string;
  readonly settings: RegionSettings;
  /** Once it was complete. */
  readonly network?: Omit<RegionRecord, "location">;
}

function regionOf(call: ApiCall): string {
  const parsed = regionNameSchema.safeParse(call.param("region"));
  if (!parsed.success) throw wrongField("region", parsed.error.issues[0]?.message ?? "");
  return parsed.data;
}

async function viewOf({ records }: AppContext, location: string): Promise<RegionView | undefined> {
  const settings = await records.regionSettings.read(location);
  const record = await records.regions.read(location);
  if (settings === undefined && record === undefined) return undefined;
  if (record === undefined) return { location, settings: settings?.value ?? {} };
  const { location: _, ...network } = record.value;
  return { location, settings: settings?.value ?? {}, network };
}

async function changesOf({ records }: AppContext, location: string): Promise<RegionChange[]> {
  const changes: RegionChange[] = [];
  for await (const { value } of records.regionChanges(location).list()) changes.push(value);
  return changes.toSorted((left, right) => left.at.localeCompare(right.at));
}

/** Workers that run keep the subnet that they are in: a region's network changes between jobs. */
async function checkNoWorkers({ records }: AppContext, location: string): Promise<void> {
  for await (const { value } of records.workers.list()) {
    if (value.location === location)
      throw new Problem(
        409,
        "RegionInUse",
        `Worker '${value.workerId}' is in the region's network: change it when no worker is there.`,
      );
  }
}

export const regionEndpoints: readonly Endpoint[] = [
  {
    name: "list-regions",
    method: "GET",
    route: "v1/regions",
    async handle({ context }) {
      const { records } = context;
      const locations = new Set<string>();
      for await (const { id } of records.regions.list()) locations.add(id);
      for await (const { id } of records.regionSettings.list()) locations.add(id);
      const value: RegionView[] = [];
      for (const location of [...locations].sort()) {
        const view = await viewOf(context, location);
        if (view !== undefined) value.push(view);
      }
      return { status: 200, body: { value } };
    },
  },
  {
    name: "get-region",
    method: "GET",
    route: "v1/regions/{region}",
    async handle(call) {
      const location = regionOf(call);
      const view = await viewOf(call.context, location);
      if (view === undefined) throw notFound("Region", location);
      const changes = (await changesOf(call.context, location)).map(
        ({ kind, resourceId, reason, at }) => ({ kind, resourceId, reason, at }),
      );
      return { status: 200, body: { ...view, changes } };
    },
  },
  {
    name: "replace-region",
    method: "PUT",
    route: "v1/regions/{region}",
    async handle(call) {
      const { records } = call.context;
      const location = regionOf(call);
      const settings = await call.body(regionSettingsSchema);
      const record = (await records.regions.read(location))?.value;
      const { addressPrefix } = settings;
      if (
        addressPrefix !== undefined &&
        record !== undefined &&
        record.addressPrefix !== addressPrefix
      )
        throw new Problem(
          409,
          "RegionInUse",
          `The network of ${location} was made with ${record.addressPrefix}: its prefix cannot change.`,
        );
      await checkNoWorkers(call.context, location);
      await records.regionSettings.put(location, settings);
      return { status: 200, body: { location, settings } };
    },
  },
  {
    name: "plan-region-network",
    method: "POST",
    route: "v1/regions/{region}/plan",
    async handle(call) {
      const { context } = call;
      const location = regionOf(call);
      const { config, facts } = await readRegion(
        context,
        location,
        await repositoriesOf(context, {}),
      );
      const plan = planRegion(facts, config);
      const actions = plan.actions.map(({ action, ...rest }) => ({ ...action, ...rest }));
      const diskAccesses = await readExpectedDiskAccesses(context, location);
      return { status: 200, body: { location, ...plan, actions, diskAccesses } };
    },
  },
  {
    name: "prepare-region-network",
    method: "POST",
    route: "v1/regions/{region}/prepare",
    async handle(call) {
      const { records, clock, events, config } = call.context;
      const location = regionOf(call);
      const now = clock();
      const sessionId = `region-${location}-${slotKey(now)}`;
      const inserted = await records.sessions.insert(sessionId, {
        sessionId,
        type: "region",
        state: "running",
        trigger: "manual",
        startedAt: now.toISOString(),
        location,
      });
      if (inserted === "exists")
        throw new Problem(409, "JustStarted", `Session '${sessionId}' started this second.`);
      const input: PrepareRegionInput = { sessionId, location, settings: config.run };
      await call.client.startOnce(ORCHESTRATORS.prepareRegion, sessionId, input);
      events.regionRequested({ sessionId, location });
      return { status: 202, body: { sessionId }, location: `/api/v1/sessions/${sessionId}` };
    },
  },
];
