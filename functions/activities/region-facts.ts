import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { Repository } from "#core/model/repository.ts";
import { resourceGroupIdOf, resourceGroupOf, sameId } from "#core/model/resource-id.ts";
import { findEndpoint, recordKey, wantedEndpoints } from "#core/network/plan-private-endpoints.ts";
import {
  findSubnet,
  lastNameOf,
  networkIdOf,
  regionNamesOf,
  zoneIdOf,
  ZONE_SERVICES,
  type EndpointFacts,
  type RegionConfig,
  type RegionFacts,
  type RepositoryAccount,
} from "#core/network/region-plan.ts";
import { portOfUrl } from "#core/network/worker-security-rules.ts";
import type {
  PrivateEndpointState,
  StorageAccountState,
  VirtualNetworkState,
} from "#core/ports/region.ts";
import type { AppContext } from "../app-context.ts";
import { readWorkerConfiguration } from "../worker-configurations.ts";
import { countExpectedDiskAccesses } from "./expected-disk-accesses.ts";

/** Reads all that a plan of a region's network looks at. Changes nothing. */
const READS_AT_ONCE = 8;

export interface RegionView {
  readonly config: RegionConfig;
  readonly facts: RegionFacts;
}

/** @param repositories those whose accounts workers of the region must reach */
export async function readRegion(
  context: AppContext,
  location: string,
  repositories: readonly Repository[],
): Promise<RegionView> {
  const { region, config: app, records } = context;
  const claims = await readClaims(context, location);
  const settings = (await records.regionSettings.read(location))?.value;
  const workers = await readWorkerConfiguration(context, location);
  const mirror = workers.securityUpdates;
  const config: RegionConfig = {
    controlPlaneId: app.controlPlaneId,
    location,
    resourceGroupId: app.worker.resourceGroupId,
    ...app.network,
    subnetId: settings?.subnetId,
    addressPrefix: settings?.addressPrefix ?? claims.own,
    workersMax: workers.maximum,
    mirrorPort: mirror.kind === "mirror" ? portOfUrl(mirror.url) : undefined,
  };
  const names = regionNamesOf(config);
  const [workerNetwork, hub, accounts, endpoints, zones] = await Promise.all([
    readNetwork(context, names.networkId),
    readNetwork(context, config.hubNetworkId),
    listAccounts(context),
    listEndpoints(context, [config.resourceGroupId, config.endpointSubnetId, names.subnetId]),
    readZones(context, config),
  ]);
  const stagingAccount = accounts.find((account) => isStaging(context, account, location));
  const given = findSubnet(workerNetwork, names.subnetId);
  const isGiven = config.subnetId !== undefined;
  const groupId = isGiven ? given?.securityGroupId : names.securityGroupId;
  const routeTableId = isGiven ? given?.routeTableId : undefined;
  // Asked as long as nothing of ours is in a given subnet: then it is too late for another one.
  const asksRoom = isGiven && !endpoints.some((each) => sameId(each.subnetId, names.subnetId));
  const [securityGroup, routes, lifecycleRules, expectedDiskAccesses] = await Promise.all([
    groupId === undefined ? undefined : orRefused(() => region.readSecurityGroup(groupId)),
    routeTableId === undefined ? undefined : orRefused(() => region.readRoutes(routeTableId)),
    stagingAccount?.provisioning === "succeeded"
      ? region.readLifecycleRules(stagingAccount.accountId)
      : [],
    asksRoom ? countExpectedDiskAccesses(context, location) : 0,
  ]);
  const facts: RegionFacts = {
    workerNetwork,
    hub,
    securityGroup,
    routes: routes ?? [],
    takenPrefixes: claims.others,
    stagingAccount,
    lifecycleRules,
    repositories: repositories.map((repository) => withAccount(repository, accounts)),
    endpoints: [],
    expectedDiskAccesses,
    zones,
    records: {},
  };
  return { config, facts: { ...facts, ...(await readNames(context, config, facts, endpoints)) } };
}

/** A network that may not be read is as good as missing: the plan says what to do. */
async function readNetwork(
  { region }: AppContext,
  networkId: string,
): Promise<VirtualNetworkState | undefined> {
  return orRefused(() => region.readNetwork(networkId));
}

async function orRefused<Value>(read: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "AuthorizationFailed") return undefined;
    throw error;
  }
}

/** Subscriptions that the control plane looks at, its own ones included. */
function subscriptionsOf({ config }: AppContext): string[] {
  const own = [config.worker.resourceGroupId, config.network.controlAccountId];
  const all = [...config.subscriptionIds, ...own.map((id) => resourceGroupOf(id).subscriptionId)];
  return [...new Set(all.map((id) => id.toLowerCase()))];
}

async function listAccounts(context: AppContext): Promise<StorageAccountState[]> {
  const lists = await mapBounded(subscriptionsOf(context), READS_AT_ONCE, (id) =>
    orRefused(() => collect(context.region.listStorageAccounts(id))),
  );
  return lists.flatMap((list) => list ?? []);
}

/** Private endpoints in the subscriptions of these resources. */
export async function listEndpoints(
  context: AppContext,
  places: readonly string[],
): Promise<PrivateEndpointState[]> {
  const ids = new Set(places.map((id) => resourceGroupOf(id).subscriptionId.toLowerCase()));
  const lists = await mapBounded([...ids], READS_AT_ONCE, (id) =>
    collect(context.region.listPrivateEndpoints(id)),
  );
  return lists.flat();
}

async function readZones(
  { region }: AppContext,
  { zoneGroupId }: RegionConfig,
): Promise<RegionFacts["zones"]> {
  const zones = await Promise.all(
    ZONE_SERVICES.map(async (service) => {
      const zone = await orRefused(() => region.readZone(zoneIdOf(zoneGroupId, service)));
      return zone === undefined ? [] : ([[service, zone]] as const);
    }),
  );
  return Object.fromEntries(zones.flat());
}

/** Names and addresses of the endpoints that matter. */
async function readNames(
  { region }: AppContext,
  config: RegionConfig,
  facts: RegionFacts,
  listed: readonly PrivateEndpointState[],
): Promise<Pick<RegionFacts, "endpoints" | "records">> {
  const dns = { address: undefined, zoneGroups: [], recordNames: [] };
  const unread = listed.map((each) => ({ ...each, dns }));
  const wanted = wantedEndpoints(facts, config);
  const { subnetId } = regionNamesOf(config);
  const mattering = unread.filter(
    (each) =>
      sameId(networkIdOf(each.subnetId), networkIdOf(subnetId)) ||
      wanted.some(
        (one) => sameId(one.endpointId, each.endpointId) || findEndpoint(unread, one) === each,
      ),
  );
  const endpoints = await mapBounded(mattering, READS_AT_ONCE, async (each) => {
    const isWanted = wanted.some((one) => findEndpoint(unread, one) === each);
    const endpoint: EndpointFacts = isWanted
      ? { ...each, dns: await region.readEndpointDns(each) }
      : each;
    return endpoint;
  });
  const records: Record<string, readonly string[]> = {};
  await mapBounded(wanted, READS_AT_ONCE, async ({ service, targetId }) => {
    if (facts.zones[service] === undefined) return;
    const account = lastNameOf(targetId).toLowerCase();
    const addresses = await region.readAddressRecord(
      zoneIdOf(config.zoneGroupId, service),
      account,
    );
    if (addresses !== undefined) records[recordKey(service, account)] = addresses;
  });
  return { endpoints, records };
}

function isStaging(
  { config }: AppContext,
  { tags, location, accountId }: StorageAccountState,
  wanted: string,
): boolean {
  const isOurs = tags[CONTROL_PLANE_TAG] === config.controlPlaneId;
  const group = resourceGroupIdOf(accountId);
  return isOurs && location === wanted && sameId(group, config.worker.resourceGroupId);
}

/** The account of every repository, as far as it can be read. */
export async function readRepositoryAccounts(
  context: AppContext,
): Promise<readonly RepositoryAccount[]> {
  const accounts = await listAccounts(context);
  const found: RepositoryAccount[] = [];
  for await (const { value } of context.records.repositories.list())
    found.push(withAccount(value, accounts));
  return found;
}

/** By the address that the account itself names, else by its name in the public cloud. */
function withAccount(
  { name, blobServiceUrl }: Repository,
  accounts: readonly StorageAccountState[],
): RepositoryAccount {
  const wanted = normalUrl(blobServiceUrl);
  const [label] = new URL(blobServiceUrl).hostname.split(".");
  const account =
    accounts.find((each) => normalUrl(each.blobServiceUrl) === wanted) ??
    accounts.find((each) => each.name === label);
  return { repositoryName: name, blobServiceUrl, account };
}

function normalUrl(url: string): string {
  return url.replace(/\/+$/, "").toLowerCase();
}

/** The region's prefix, and those of the others. */
async function readClaims(
  { records }: AppContext,
  location: string,
): Promise<{ readonly own: string | undefined; readonly others: string[] }> {
  let own: string | undefined;
  const others: string[] = [];
  for await (const { value } of records.prefixes.list()) {
    if (value.location === location) own = value.addressPrefix;
    else others.push(value.addressPrefix);
  }
  return { own, others };
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
