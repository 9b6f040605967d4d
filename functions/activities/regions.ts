import { HoldfastError } from "#core/lib/errors.ts";
import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { candidatePrefixes, planRegion, regionNamesOf } from "#core/network/plan-region.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";

/** The worker network and the staging account of a location. */
function namesOf(context: AppContext, location: string): ReturnType<typeof regionNamesOf> {
  const { controlPlaneId, worker } = context.config;
  return regionNamesOf({ controlPlaneId, resourceGroupId: worker.resourceGroupId }, location);
}

/** Compares what is there with what is needed; records the region once it is ready. */
export const planRegionOf = defineActivity("plan-region", async (context, { location }) => {
  const { config, region, records, clock } = context;
  const names = namesOf(context, location);
  const [network, stagingAccount] = await Promise.all([
    region.readNetwork(names.virtualNetworkId, names.subnetName),
    region.findStagingAccount(
      config.worker.resourceGroupId,
      location,
      CONTROL_PLANE_TAG,
      config.controlPlaneId,
    ),
  ]);
  const plan = planRegion({ location, network, stagingAccount });
  if (plan.ready && network !== undefined && stagingAccount !== undefined) {
    await records.regions.put(location, {
      location,
      addressPrefix: network.addressPrefix,
      subnetId: network.subnetId,
      blobServiceUrl: stagingAccount.blobServiceUrl,
      queueServiceUrl: stagingAccount.queueServiceUrl,
      readyAt: clock().toISOString(),
    });
  }
  const [waitingFor] = plan.waitingFor;
  return {
    ready: plan.ready,
    actions: plan.actions,
    ...(waitingFor === undefined ? {} : { waitingFor }),
  };
});

export const executeRegionAction = defineActivity(
  "execute-region-action",
  async (context, { location, kind }) => {
    const { config, region } = context;
    const names = namesOf(context, location);
    const tags = { [CONTROL_PLANE_TAG]: config.controlPlaneId };
    switch (kind) {
      case "create-network": {
        const addressPrefix = await claimPrefix(context, location);
        await region.startNetwork({ ...names, location, addressPrefix, tags });
        return {};
      }
      case "create-staging-account":
        await region.startStagingAccount({ accountId: names.stagingAccountId, location, tags });
        return {};
    }
  },
);

/** Inserting the row claims the prefix: two regions never get the same one. */
async function claimPrefix(context: AppContext, location: string): Promise<string> {
  const { prefixes } = context.records;
  const taken = new Set<string>();
  for await (const { value } of prefixes.list()) {
    if (value.location === location) return value.addressPrefix;
    taken.add(value.addressPrefix);
  }
  for (const addressPrefix of candidatePrefixes(taken)) {
    const id = addressPrefix.replace("/", "-");
    if ((await prefixes.insert(id, { location, addressPrefix })) === "inserted")
      return addressPrefix;
    // Another run was faster; perhaps for this very location.
    const claimed = await prefixes.get(id);
    if (claimed.location === location) return claimed.addressPrefix;
  }
  throw new HoldfastError("NoAddressPrefix", "All address prefixes for worker networks are taken.");
}
