import { createHash } from "node:crypto";
import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { RegionActionBody } from "#core/model/region-action.ts";
import type { Repository } from "#core/model/repository.ts";
import { explainRefusal, REFUSAL_CODES } from "#core/network/explain-refusal.ts";
import { planRegion } from "#core/network/plan-region.ts";
import {
  findSubnet,
  regionNamesOf,
  type RegionConfig,
  type RegionFacts,
} from "#core/network/region-plan.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { readRegion } from "./region-facts.ts";

/** Compares what is there with what is needed; records the region once it is ready. */
export const planRegionOf = defineActivity("plan-region", async (context, input) => {
  const { location } = input;
  const repositories = await repositoriesOf(context, input);
  const { config, facts } = await readRegion(context, location, repositories);
  const plan = planRegion(facts, config);
  if (plan.ready) await keepRegion(context, config, facts);
  return {
    ready: plan.ready,
    actions: plan.actions.map(({ action, reason, after }) => ({
      action,
      reason,
      isDue: after.length === 0,
    })),
    findings: plan.findings,
    notes: plan.notes,
    inTurns: true as const,
    ...(plan.waitingFor.length === 0 ? {} : { waitingFor: plan.waitingFor.join("; ") }),
  };
});

/** Accounts that the session writes to or reads; all of them where no session asks. */
export async function repositoriesOf(
  { records }: AppContext,
  { repositoryId, jobId }: { repositoryId?: string | undefined; jobId?: string | undefined },
): Promise<Repository[]> {
  if (repositoryId !== undefined) return [await records.repositories.get(repositoryId)];
  if (jobId !== undefined) {
    const { spec } = await records.jobs.get(jobId);
    return [await records.repositories.get(spec.repositoryId)];
  }
  const all: Repository[] = [];
  for await (const { value } of records.repositories.list()) all.push(value);
  return all;
}

async function keepRegion(
  { records, clock }: AppContext,
  config: RegionConfig,
  { workerNetwork, stagingAccount }: RegionFacts,
): Promise<void> {
  const subnet = findSubnet(workerNetwork, regionNamesOf(config).subnetId);
  if (subnet === undefined || stagingAccount === undefined) return;
  const { location } = config;
  const verifiedAt = clock().toISOString();
  const seen = {
    location,
    addressPrefix: subnet.addressPrefix,
    subnetId: subnet.subnetId,
    stagingAccountId: stagingAccount.accountId,
    blobServiceUrl: stagingAccount.blobServiceUrl,
    queueServiceUrl: stagingAccount.queueServiceUrl,
    verifiedAt,
  };
  const inserted = await records.regions.insert(location, { ...seen, readyAt: verifiedAt });
  if (inserted === "exists")
    await records.regions.update(location, (before) => ({ ...before, ...seen }));
}

/** Safe to repeat: what exists is left as it is. */
export const executeRegionAction = defineActivity(
  "execute-region-action",
  async (context, { location, action, reason }) => {
    const isClaimed =
      action.kind !== "create-network" || (await claimPrefix(context, location, action));
    // Another region was faster: the next plan has another prefix.
    if (!isClaimed) return { isDone: false };
    await noteChange(context, location, action, reason);
    try {
      await execute(context, location, action);
    } catch (error) {
      if (!(error instanceof HoldfastError) || !REFUSAL_CODES.has(error.code)) throw error;
      throw new HoldfastError(error.code, `${explainRefusal(action)} ${error.message}`);
    }
    return { isDone: true };
  },
);

/** Written before the change is made, so that nothing is made that nobody knows of. */
async function noteChange(
  { records, clock }: AppContext,
  location: string,
  { kind, resourceId }: RegionActionBody,
  reason: string,
): Promise<void> {
  const digest = createHash("sha256").update(resourceId.toLowerCase()).digest("hex");
  const change = { location, kind, resourceId, reason, at: clock().toISOString() };
  await records.regionChanges(location).put(digest.slice(0, 32), change);
}

async function execute(
  { region, config }: AppContext,
  location: string,
  action: RegionActionBody,
): Promise<void> {
  const tags = { [CONTROL_PLANE_TAG]: config.controlPlaneId };
  const { resourceId } = action;
  switch (action.kind) {
    case "create-security-group":
      return region.startSecurityGroup({ ...action, securityGroupId: resourceId, location, tags });
    case "create-network":
      return region.startNetwork({ ...action, networkId: resourceId, location, tags });
    case "create-subnet":
      return region.startSubnet(action);
    case "create-staging-account":
      return region.startStagingAccount(resourceId, location, tags);
    case "secure-staging-account":
      return region.secureStagingAccount(resourceId);
    case "write-lifecycle-rule":
      return region.writeLifecycleRule(action.accountId);
    case "create-private-endpoint":
      return region.startPrivateEndpoint({ ...action, endpointId: resourceId, tags });
    case "delete-private-endpoint":
      return region.startDeletePrivateEndpoint(resourceId);
    case "create-zone":
      return region.startZone(resourceId, tags);
    case "link-zone":
      return region.startZoneLink(resourceId, action.networkId, tags);
    case "create-zone-group":
      return region.startZoneGroup(action.endpointId, action.zoneId);
    case "create-peering":
      return region.startPeering(resourceId, action.remoteNetworkId);
    case "delete-peering":
      return region.startDeletePeering(resourceId);
  }
}

/** Inserting the row claims the prefix: two regions never get the same one. */
async function claimPrefix(
  { records }: AppContext,
  location: string,
  { addressPrefix }: { readonly addressPrefix: string },
): Promise<boolean> {
  const id = addressPrefix.replace("/", "-");
  if ((await records.prefixes.insert(id, { location, addressPrefix })) === "inserted") return true;
  return (await records.prefixes.get(id)).location === location;
}
