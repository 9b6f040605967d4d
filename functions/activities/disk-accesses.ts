import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { resourceGroupOf, sameId } from "#core/model/resource-id.ts";
import {
  diskAccessesFor,
  diskPoolKeyOf,
  diskPoolNamesOf,
  planDiskAccesses,
  SLOTS_PER_BACKED_UP_DISK,
  SLOTS_PER_DISK_ACCESS,
  type DiskAccessAction,
  type DiskAccessFacts,
  type DiskAccessPlan,
  type DiskEndpointFacts,
  type DiskPool,
  type DiskPoolNames,
} from "#core/network/plan-disk-accesses.ts";
import { networkIdOf, regionNamesOf, zoneIdOf } from "#core/network/region-plan.ts";
import type { JobSpec } from "#core/model/job-record.ts";
import type { PrivateEndpointState } from "#core/ports/region.ts";
import type { AppContext } from "../app-context.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import { defineActivity } from "./define-activity.ts";

/** The disk accesses of a region and subscription: read, planned, made. */
const CALLS_AT_ONCE = 8;

export function poolNamesOf({ config }: AppContext, pool: DiskPool): DiskPoolNames {
  const { controlPlaneId, worker } = config;
  return diskPoolNamesOf({ controlPlaneId, workerResourceGroupId: worker.resourceGroupId }, pool);
}

/** Slots of the disk accesses that a job of this kind needs; none when it reads and writes no disk. */
function slotsOf(
  spec: JobSpec,
): { readonly slots: number; readonly resourceId: string } | undefined {
  if (spec.kind === "backup")
    return {
      // Also for the first backup: the next one needs them for its bases.
      slots: spec.disks.length * SLOTS_PER_BACKED_UP_DISK,
      resourceId: spec.vm.resourceId,
    };
  if (spec.kind === "restore")
    return { slots: spec.disks.length, resourceId: spec.disks[0]?.targetDiskId ?? "" };
  return undefined;
}

/** Which pool a job works with, and how much of it. Refuses a job that no pool is large enough for. */
export const readDiskPool = defineActivity("read-disk-pool", async (context, { jobId }) => {
  const { spec, location } = await context.records.jobs.get(jobId);
  const needs = slotsOf(spec);
  if (needs === undefined)
    throw new HoldfastError("WrongJobKind", `Job '${jobId}' is a ${spec.kind}: it needs no disks.`);
  const { slots, resourceId } = needs;
  const { accessesMax } = context.config.diskAccess;
  const neededCount = diskAccessesFor(slots);
  if (neededCount > accessesMax)
    throw new HoldfastError(
      "DiskAccessLimit",
      `The disks need ${slots} exports at the same time, hence ${neededCount} disk accesses of ${SLOTS_PER_DISK_ACCESS}; HOLDFAST_DISK_ACCESSES_MAX allows ${accessesMax}. Raise it to ${neededCount} or more.`,
    );
  const { subscriptionId } = resourceGroupOf(resourceId);
  const pool = { location, subscriptionId: subscriptionId.toLowerCase() };
  return { ...pool, slots, jobsMax: await jobsMaxOf(context, location) };
});

/** Jobs that can run at the same time in a region: one on each worker. */
async function jobsMaxOf(context: AppContext, location: string): Promise<number> {
  return (await readWorkerConfiguration(context, location)).maximum;
}

/** What the pool lacks for so many exports at the same time; makes nothing. */
export async function readDiskAccessPlan(
  context: AppContext,
  pool: DiskPool,
  wanted: { readonly slots: number; readonly retiring: readonly string[] },
): Promise<DiskAccessPlan> {
  const { config, compute } = context;
  const names = poolNamesOf(context, pool);
  const found = [];
  for await (const access of compute.listDiskAccesses(
    names.resourceGroupId,
    CONTROL_PLANE_TAG,
    config.controlPlaneId,
  ))
    if (access.name.startsWith(`${names.poolName}-`)) found.push(access);
  const endpoints = found.length === 0 ? [] : await listDiskEndpoints(context);
  const subnetId = await workerSubnetOf(context, pool.location);
  const existing = await mapBounded(found, CALLS_AT_ONCE, async (access) => ({
    ...access,
    endpoint: await endpointOf(context, names, { access, endpoints, subnetId }),
  }));
  const facts: DiskAccessFacts = {
    existing,
    privateDns: config.network.privateDns,
    retiring: wanted.retiring,
    accessesMax: config.diskAccess.accessesMax,
  };
  return planDiskAccesses(facts, { slots: wanted.slots, poolName: names.poolName });
}

/** Where workers of the region and the endpoints of its disk accesses belong. */
async function workerSubnetOf({ config, records }: AppContext, location: string): Promise<string> {
  const settings = await records.regionSettings.read(location);
  return regionNamesOf({
    controlPlaneId: config.controlPlaneId,
    location,
    resourceGroupId: config.worker.resourceGroupId,
    subnetId: settings?.value.subnetId,
  }).subnetId;
}

async function listDiskEndpoints({ config, region }: AppContext): Promise<PrivateEndpointState[]> {
  const { subscriptionId } = resourceGroupOf(config.worker.resourceGroupId);
  const endpoints: PrivateEndpointState[] = [];
  for await (const endpoint of region.listPrivateEndpoints(subscriptionId))
    if (endpoint.service === "disks") endpoints.push(endpoint);
  return endpoints;
}

/** A disk access takes one connection: whoever made the endpoint, it is the one. */
async function endpointOf(
  { region, config }: AppContext,
  names: DiskPoolNames,
  {
    access,
    endpoints,
    subnetId,
  }: {
    readonly access: { readonly diskAccessId: string; readonly name: string };
    readonly endpoints: readonly PrivateEndpointState[];
    readonly subnetId: string;
  },
): Promise<DiskEndpointFacts | undefined> {
  const endpoint = endpoints.find(({ targetId }) => sameId(targetId, access.diskAccessId));
  if (endpoint === undefined) return undefined;
  const { endpointId, provisioning, connection } = endpoint;
  const isOwn = sameId(endpointId, names.endpointIdOf(access.name));
  const isElsewhere = !sameId(networkIdOf(endpoint.subnetId), networkIdOf(subnetId));
  const isLooked = provisioning === "succeeded" && config.network.privateDns === "manage";
  const dns = isLooked ? await region.readEndpointDns(endpoint) : undefined;
  const zoneId = zoneIdOf(config.network.zoneGroupId, "disks");
  const zoneGroup = dns?.zoneGroups.find(({ zoneIds }) =>
    zoneIds.some((each) => sameId(each, zoneId)),
  );
  return {
    endpointId,
    provisioning,
    connection,
    isOwn,
    isElsewhere,
    zoneGroup: zoneGroup?.provisioning,
  };
}

export const planDiskAccessesOf = defineActivity("plan-disk-accesses", async (context, input) => {
  const { location, subscriptionId, slots, retiring } = input;
  const pool = { location, subscriptionId };
  const plan = await explained("read disk accesses", pool, "", () =>
    readDiskAccessPlan(context, pool, { slots, retiring }),
  );
  const [refusal] = plan.refusals;
  if (refusal !== undefined) throw new HoldfastError("EndpointRefused", `${refusal}.`);
  await noteUse(context, pool, plan);
  const [waitingFor] = plan.waitingFor;
  return {
    ready: plan.ready,
    actions: [...plan.actions],
    accesses: [...plan.usable],
    ...(waitingFor === undefined ? {} : { waitingFor }),
    ...(plan.bounded === undefined ? {} : { bounded: plan.bounded }),
  };
});

/** The sweep removes what was not needed for long. */
async function noteUse(context: AppContext, pool: DiskPool, plan: DiskAccessPlan): Promise<void> {
  const now = context.clock().toISOString();
  const needed = [
    ...plan.usable.slice(0, plan.neededCount),
    ...plan.actions.map(({ name }) => name),
  ];
  const id = diskPoolKeyOf(pool);
  const neededAt = Object.fromEntries(needed.map((name) => [name, now]));
  await context.records.diskPools.insert(id, { ...pool, neededAt });
  await context.records.diskPools.update(id, (row) => ({
    ...row,
    neededAt: { ...row.neededAt, ...neededAt },
  }));
}

/** Makes what a plan says; its actions do not depend on one another. */
export const makeDiskAccesses = defineActivity("make-disk-accesses", async (context, input) => {
  const { location, subscriptionId, actions } = input;
  const pool = { location, subscriptionId };
  await mapBounded(actions, CALLS_AT_ONCE, (action) => make(context, pool, action));
  return {};
});

async function make(
  context: AppContext,
  pool: DiskPool,
  { kind, name }: Pick<DiskAccessAction, "kind" | "name">,
): Promise<void> {
  const { compute, region, config } = context;
  const { location } = pool;
  const names = poolNamesOf(context, pool);
  const diskAccessId = names.diskAccessIdOf(name);
  const endpointId = names.endpointIdOf(name);
  const tags = { [CONTROL_PLANE_TAG]: config.controlPlaneId };
  switch (kind) {
    case "create-disk-access":
      return explained(`make disk access ${diskAccessId}`, pool, "", () =>
        compute.startDiskAccess({ diskAccessId, location, tags }),
      );
    case "create-disk-endpoint": {
      const subnetId = await workerSubnetOf(context, location);
      const what = `connect ${endpointId} to disk access ${diskAccessId}`;
      return explained(what, pool, crossingOf(config.worker.resourceGroupId, pool), () =>
        region.startPrivateEndpoint({
          endpointId,
          location,
          subnetId,
          targetId: diskAccessId,
          service: "disks",
          tags,
        }),
      );
    }
    case "delete-disk-endpoint":
      return region.startDeletePrivateEndpoint(endpointId);
    case "create-disk-zone-group":
      return region.startZoneGroup(endpointId, zoneIdOf(config.network.zoneGroupId, "disks"));
  }
}

/**
 * Advice for when Azure refuses to connect what lies in two subscriptions. Microsoft's documentation
 * speaks of one subscription for disk access and network and names no rule or code
 * (learn.microsoft.com/azure/virtual-machines/disks-enable-private-links-for-import-export-portal).
 */
function crossingOf(workerResourceGroupId: string, { subscriptionId }: DiskPool): string {
  const { subscriptionId: own } = resourceGroupOf(workerResourceGroupId);
  if (own.toLowerCase() === subscriptionId.toLowerCase()) return "";
  return `the disks are in subscription ${subscriptionId} and the workers' network is in ${own}: if Azure does not connect the two, back these machines up by a deployment whose workers' resource group (HOLDFAST_WORKER_RESOURCE_GROUP_ID) is in ${subscriptionId}`;
}

/**
 * What a deployment lacks for disks of this subscription, told with Azure's own words.
 * @param otherwise advice where the code alone tells nothing; none when empty
 */
async function explained<Value>(
  what: string,
  { subscriptionId }: DiskPool,
  otherwise: string,
  call: () => Promise<Value>,
): Promise<Value> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const advice = ADVICE.get(error.code);
    if (advice === undefined && otherwise !== "" && error.retry === "never")
      throw new HoldfastError(
        error.code,
        `Azure refused to ${what}: ${otherwise}. ${error.message}`,
        { cause: error },
      );
    if (advice === undefined) throw error;
    throw new HoldfastError(
      error.code,
      `Holdfast may not ${what}: in subscription ${subscriptionId}, ${advice}. ${error.message}`,
      { retry: error.retry, cause: error },
    );
  }
}

const ADVICE: ReadonlyMap<string, string> = new Map([
  [
    "ResourceGroupNotFound",
    "make the resource group with the name of the workers' group, in which disk accesses lie",
  ],
  [
    "AuthorizationFailed",
    "give the control plane's identity the role 'Holdfast disk accesses' on the resource group with the name of the workers' group",
  ],
  [
    "LinkedAuthorizationFailed",
    "give the control plane's identity the role 'Holdfast disk accesses' on the resource group with the name of the workers' group: it approves connections of disk accesses",
  ],
]);
