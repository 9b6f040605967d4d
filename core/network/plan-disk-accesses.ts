/**
 * Disk accesses. A *disk access* is the only way to the bytes of a snapshot or disk with the policy
 * `AllowPrivate`; it takes one private endpoint and carries at most five exports and uploads at the
 * same time. The disk accesses of one region and one subscription (that of the snapshots) are a
 * *pool*: numbered, tagged with the control plane's id, used again by the next run. A *slot* is the
 * right to one of the five. This module decides how many a pool needs; `disk-slots.ts` hands out
 * their slots.
 */
import { createHash } from "node:crypto";
import { HoldfastError } from "../lib/errors.ts";
import { RESOURCE_TYPES, resourceGroupOf, resourceId, sameId } from "../model/resource-id.ts";
import type { DiskAccessState, ProvisioningState } from "../ports/compute.ts";
import type { PrivateEndpointState } from "../ports/region.ts";

/**
 * "At most 5 disks or snapshots being imported or exported at the same time with the same disk
 * access" (learn.microsoft.com/azure/virtual-machines/disks-enable-private-links-for-import-export-portal).
 */
export const SLOTS_PER_DISK_ACCESS = 5;
/** A disk is read with two grants: the new snapshot's and its base's, until the job's end. */
export const SLOTS_PER_BACKED_UP_DISK = 2;

export interface DiskEndpointFacts extends Pick<
  PrivateEndpointState,
  "endpointId" | "provisioning" | "connection"
> {
  /** Made by the control plane, so that it may be made again. */
  readonly isOwn: boolean;
  /** In another network than the region's workers, who were given another one since. */
  readonly isElsewhere: boolean;
  /** Of the DNS zone group that keeps the names of the exports; `undefined` when there is none. */
  readonly zoneGroup: ProvisioningState | undefined;
}

export interface DiskAccessFacts {
  /** Those of the pool, by tag, each with its endpoint in the workers' network. */
  readonly existing: readonly (Pick<DiskAccessState, "name" | "provisioning"> & {
    readonly endpoint: DiskEndpointFacts | undefined;
  })[];
  /** `verify`: somebody else sees to it that the zone has the endpoints' names. */
  readonly privateDns: "manage" | "verify";
  /** Names that the sweep is removing: nothing new begins on them. */
  readonly retiring: readonly string[];
  /** The setting that bounds a pool. */
  readonly accessesMax: number;
}

export const DISK_ACCESS_ACTIONS = [
  "create-disk-access",
  "create-disk-endpoint",
  "delete-disk-endpoint",
  "create-disk-zone-group",
] as const;
export type DiskAccessActionKind = (typeof DISK_ACCESS_ACTIONS)[number];

export interface DiskAccessAction {
  readonly kind: DiskAccessActionKind;
  readonly name: string;
  readonly reason: string;
}

export interface DiskAccessPlan {
  readonly actions: readonly DiskAccessAction[];
  /** What is under way: look again later. */
  readonly waitingFor: readonly string[];
  /** What only somebody else can put right. */
  readonly refusals: readonly string[];
  /** Names of those that carry exports now, by number. */
  readonly usable: readonly string[];
  readonly neededCount: number;
  /** Said when the setting allows fewer than are wanted: jobs then wait for one another. */
  readonly bounded?: string;
  readonly ready: boolean;
}

/** Number of disk accesses for so many exports at the same time, without regard to any setting. */
export function diskAccessesFor(slots: number): number {
  return Math.ceil(slots / SLOTS_PER_DISK_ACCESS);
}

/**
 * What the pool lacks for `slots` exports at the same time. What exists is used before anything is
 * created; wanting more never takes back an action that wanting less would have led to.
 * @param poolName prefix of the names, from `diskPoolNamesOf`
 */
export function planDiskAccesses(
  facts: DiskAccessFacts,
  wanted: { readonly slots: number; readonly poolName: string },
): DiskAccessPlan {
  const wantedCount = diskAccessesFor(wanted.slots);
  const neededCount = Math.min(wantedCount, facts.accessesMax);
  const retiring = new Set(facts.retiring);
  const kept = facts.existing
    .filter(({ name }) => !retiring.has(name))
    .sort((one, other) => numberOf(one.name) - numberOf(other.name));
  const used = kept.slice(0, neededCount);
  const steps = used.map((access) => stepOf(access, facts.privateDns));
  const created = freeNumbers(facts, neededCount - used.length).map((number): DiskAccessAction => {
    const reason = `${wanted.slots} exports at the same time need ${neededCount} disk accesses of ${SLOTS_PER_DISK_ACCESS} each; there are ${used.length}`;
    return { kind: "create-disk-access", name: nameOf(wanted.poolName, number), reason };
  });
  const actions = [...steps.flatMap(({ action }) => action ?? []), ...created];
  const waitingFor = steps.flatMap((step) => step.waitingFor ?? []);
  const refusals = steps.flatMap((step) => step.refusal ?? []);
  const usable = kept
    .filter((access) => Object.keys(stepOf(access, facts.privateDns)).length === 0)
    .map(({ name }) => name);
  return {
    actions,
    waitingFor,
    refusals,
    usable,
    neededCount,
    ...(wantedCount > neededCount && {
      bounded: `${wanted.slots} exports at the same time would need ${wantedCount} disk accesses; HOLDFAST_DISK_ACCESSES_MAX allows ${facts.accessesMax}, so jobs wait for one another`,
    }),
    ready: actions.length === 0 && waitingFor.length === 0 && refusals.length === 0,
  };
}

interface Step {
  readonly action?: DiskAccessAction;
  readonly waitingFor?: string;
  readonly refusal?: string;
}

/** The next thing that one disk access lacks. */
function stepOf(
  { name, provisioning, endpoint }: DiskAccessFacts["existing"][number],
  privateDns: DiskAccessFacts["privateDns"],
): Step {
  const act = (kind: DiskAccessAction["kind"], reason: string): Step => ({
    action: { kind, name, reason },
  });
  if (provisioning === "failed")
    return act("create-disk-access", `disk access ${name} failed to be made`);
  if (provisioning === "pending") return { waitingFor: `disk access ${name}` };
  if (endpoint === undefined)
    return act("create-disk-endpoint", `disk access ${name} has no private endpoint`);
  if (endpoint.provisioning === "failed")
    return act("create-disk-endpoint", `the private endpoint of ${name} failed to be made`);
  if (endpoint.provisioning === "pending") return { waitingFor: `private endpoint of ${name}` };
  if (endpoint.isOwn && endpoint.isElsewhere)
    return act(
      "delete-disk-endpoint",
      `the private endpoint of ${name} is not in the network of the workers: it is made again`,
    );
  if (endpoint.connection === "Pending")
    return { waitingFor: `approval of the private endpoint of disk access ${name}` };
  // Somebody deleted the disk access: a new one of the same name does not get the old connection.
  if (endpoint.connection === "Disconnected" && endpoint.isOwn)
    return act("delete-disk-endpoint", `the private endpoint of ${name} leads nowhere any more`);
  if (endpoint.connection !== "Approved")
    return {
      refusal: `the connection of ${endpoint.endpointId} to disk access ${name} is ${endpoint.connection}: approve it, or delete the endpoint so that it is made again`,
    };
  if (privateDns === "verify") return {};
  if (endpoint.zoneGroup === undefined || endpoint.zoneGroup === "failed")
    return act(
      "create-disk-zone-group",
      `no DNS zone group keeps the names of disk access ${name}`,
    );
  if (endpoint.zoneGroup === "pending") return { waitingFor: `DNS records of ${name}` };
  return {};
}

/** The lowest numbers that no disk access of the pool has, not even one that is going. */
function freeNumbers({ existing, retiring }: DiskAccessFacts, count: number): number[] {
  const names = [...existing.map(({ name }) => name), ...retiring];
  const taken = new Set(names.map((name) => numberOf(name)));
  const free: number[] = [];
  for (let number = 1; free.length < count; number++) if (!taken.has(number)) free.push(number);
  return free;
}

const NUMBER_DIGITS = 2;

function nameOf(poolName: string, number: number): string {
  return `${poolName}-${String(number).padStart(NUMBER_DIGITS, "0")}`;
}

function numberOf(name: string): number {
  return Number(/-(\d+)$/.exec(name)?.[1] ?? 0);
}

export interface DiskPoolConfig {
  readonly controlPlaneId: string;
  /** Where workers and the endpoints lie. */
  readonly workerResourceGroupId: string;
}

export interface DiskPool {
  readonly location: string;
  /** That of the snapshots and disks. */
  readonly subscriptionId: string;
}

export interface DiskPoolNames {
  /** Prefix of the names of its disk accesses. */
  readonly poolName: string;
  /**
   * Disk accesses lie in the subscription of the snapshots; there in a resource group with the name
   * of the workers' group, which the deployment makes in every protected subscription.
   */
  readonly resourceGroupId: string;
  diskAccessIdOf(name: string): string;
  /** Endpoints lie beside the workers, whose subnet they have an address in. */
  endpointIdOf(name: string): string;
}

/** Names are derived, so that a repeated run finds what an earlier one made. */
export function diskPoolNamesOf(config: DiskPoolConfig, pool: DiskPool): DiskPoolNames {
  const { workerResourceGroupId } = config;
  const { resourceGroup } = resourceGroupOf(workerResourceGroupId);
  const subscriptionId = pool.subscriptionId.toLowerCase();
  const digest = createHash("sha256")
    .update(`${config.controlPlaneId.toLowerCase()}\n${subscriptionId}`)
    .digest("hex");
  const resourceGroupId = `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}`;
  return {
    poolName: `holdfast-${pool.location}-${digest.slice(0, 8)}`,
    resourceGroupId,
    diskAccessIdOf: (name) => resourceId(resourceGroupId, RESOURCE_TYPES.diskAccess, name),
    endpointIdOf: (name) =>
      resourceId(workerResourceGroupId, RESOURCE_TYPES.privateEndpoint, `${name}-endpoint`),
  };
}

/** Name of the pool's disk access that an id stands for; `undefined` when it is of no such. */
export function diskAccessNameOf(names: DiskPoolNames, id: string | undefined): string | undefined {
  const name = id?.slice(id.lastIndexOf("/") + 1);
  if (name === undefined || !sameId(id ?? "", names.diskAccessIdOf(name))) return undefined;
  return name.startsWith(`${names.poolName}-`) ? name : undefined;
}

/**
 * Disk accesses for so many new snapshots or disks, evenly and in turn; jobs begin at different ones.
 * Where they are does not bind snapshots: `disk-slots.ts` moves those that find no slot there.
 */
export function spreadOver(
  accesses: readonly string[],
  { count, jobId }: { readonly count: number; readonly jobId: string },
): readonly string[] {
  const start = createHash("sha256").update(jobId).digest().readUInt32BE(0);
  return Array.from({ length: count }, (_, index) => {
    const access = accesses[(start + index) % accesses.length];
    if (access === undefined)
      throw new HoldfastError("NoDiskAccess", "There is no disk access that can be used now.");
    return access;
  });
}

/** Key of the entity that hands out the pool's slots. */
export function diskPoolKeyOf({ location, subscriptionId }: DiskPool): string {
  return `${location}~${subscriptionId.toLowerCase()}`;
}
