import { createRegion } from "#azure/network/region.ts";
import { createMemoryRecordStore } from "#azure/storage/memory-record-store.ts";
import { planRegion } from "#core/network/plan-region.ts";
import type { RegionPlan } from "#core/network/region-plan.ts";
import { readRegion } from "#functions/activities/region-facts.ts";
import {
  executeRegionAction,
  planRegionOf,
  repositoriesOf,
} from "#functions/activities/regions.ts";
import type { AppContext } from "#functions/app-context.ts";
import { loadConfig } from "#functions/config.ts";
import { createRecords } from "#functions/records.ts";
import { addRepository, createWorld, TEST_SETTINGS } from "../../unit/functions/test-world.ts";
import type { BodyRecorder } from "../../conformance/body-recorder.ts";
import {
  groupId,
  SimulatedCloud,
  storageVersion,
  subscriptionId,
} from "../resource-manager/simulated-cloud.ts";

/** A hub, two accounts and the control plane's activities over the real adapter of regions. */
export const hubId = `${groupId}/providers/Microsoft.Network/virtualNetworks/hub`;
const controlId = `${groupId}/providers/Microsoft.Storage/storageAccounts/controlaccount`;
const repositoryId = `${groupId}/providers/Microsoft.Storage/storageAccounts/repositoryaccount`;
export const workersGroup = `/subscriptions/${subscriptionId}/resourceGroups/workers`;

export async function startRegionCloud(bodies?: BodyRecorder): Promise<SimulatedCloud> {
  // Whole lives of regions in a second: Azure's limits are for minutes.
  const plenty = { capacity: 10_000, refillPerMinute: 100_000 };
  const cloud = await SimulatedCloud.start({
    generalLimits: { reads: plenty, writes: plenty, deletes: plenty },
  });
  cloud.manager.seedGroup({ subscriptionId, name: "workers", location: "westeurope" });
  if (bodies !== undefined) cloud.manager.onRequest(bodies.observe);
  await cloud.make("Microsoft.Network/virtualNetworks/hub", {
    location: "westeurope",
    properties: {
      addressSpace: { addressPrefixes: ["10.212.0.0/16"] },
      subnets: [{ name: "endpoints", properties: { addressPrefix: "10.212.1.0/24" } }],
    },
  });
  for (const id of [controlId, repositoryId]) {
    const account = {
      location: "westeurope",
      kind: "StorageV2",
      sku: { name: "Standard_LRS" },
      properties: { publicNetworkAccess: "Disabled" },
    };
    await cloud.make(id.replace(`${groupId}/providers/`, ""), account, storageVersion);
  }
  // As a deployment makes it, with a name of its own.
  await cloud.make("Microsoft.Network/privateEndpoints/control-queue", {
    location: "westeurope",
    properties: {
      subnet: { id: `${hubId}/subnets/endpoints` },
      privateLinkServiceConnections: [
        { name: "q", properties: { privateLinkServiceId: controlId, groupIds: ["queue"] } },
      ],
    },
  });
  return cloud;
}

/** The control plane's activities over the real adapter. */
export async function createContext(
  cloud: SimulatedCloud,
  settings: Record<string, string> = {},
): Promise<AppContext> {
  const world = createWorld();
  const config = loadConfig({
    ...TEST_SETTINGS,
    HOLDFAST_SUBSCRIPTION_IDS: subscriptionId,
    HOLDFAST_WORKER_RESOURCE_GROUP_ID: workersGroup,
    HOLDFAST_CONTROL_NETWORK_ID: hubId,
    HOLDFAST_ENDPOINT_SUBNET_ID: `${hubId}/subnets/endpoints`,
    HOLDFAST_CONTROL_ACCOUNT_ID: controlId,
    HOLDFAST_PRIVATE_DNS_GROUP_ID: groupId,
    ...settings,
  });
  const context: AppContext = {
    ...world.context,
    config,
    records: createRecords(createMemoryRecordStore()),
    region: createRegion({
      credential: cloud.credentialOf(cloud.owner),
      resourceManagerUrl: cloud.manager.endpoint,
    }),
  };
  await addRepository({ ...world, context });
  const blobServiceUrl = "https://repositoryaccount.blob.core.windows.net/";
  await context.records.repositories.update("r-1", (each) => ({ ...each, blobServiceUrl }));
  return context;
}

const ROUNDS_MAX = 30;

/** Plans and carries out until nothing is left; answers what was made, in order. */
export async function prepare(
  cloud: SimulatedCloud,
  context: AppContext,
  location: string,
): Promise<string[]> {
  const made: string[] = [];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const plan = await planRegionOf.run(context, { location });
    if (!plan.ok) throw new Error(plan.error.message);
    if (plan.value.findings.length > 0) throw new Error(plan.value.findings[0]?.message);
    if (plan.value.ready) return made;
    const due = plan.value.actions.filter(({ isDue }) => isDue);
    const outcomes = await Promise.all(
      due.map(({ action, reason }) =>
        executeRegionAction.run(context, { location, action, reason }),
      ),
    );
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.ok) made.push(due[index]!.action.resourceId);
      else if (outcome.error.retry !== "backoff") throw new Error(outcome.error.message);
    }
    await cloud.manager.operations.idle();
  }
  throw new Error(`${location} is not ready after ${ROUNDS_MAX} rounds`);
}

export async function planOf(context: AppContext, location: string): Promise<RegionPlan> {
  const { config, facts } = await readRegion(context, location, await repositoriesOf(context, {}));
  return planRegion(facts, config);
}
