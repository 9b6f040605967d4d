/**
 * Private endpoints and the names that lead to them. A service has one endpoint for all who use it: in
 * the workers' subnet for what belongs to the region, in the hub for what regions share. Any endpoint
 * in the right network will do, whoever made it.
 */
import { RESOURCE_TYPES, resourceId, sameId } from "../model/resource-id.ts";
import {
  lastNameOf,
  networkIdOf,
  regionNamesOf,
  zoneIdOf,
  type EndpointFacts,
  type PlanBuilder,
  type RegionConfig,
  type RegionFacts,
  type ZoneService,
} from "./region-plan.ts";
import { stagingAccountIdOf } from "./plan-staging-account.ts";

const COST_HINT =
  "about 7.30 USD a month and 0.01 USD per GB in each direction (list price in East US)";

/** One service of one account, and where its endpoint belongs. */
export interface WantedEndpoint {
  readonly what: string;
  readonly targetId: string;
  readonly service: ZoneService;
  readonly endpointId: string;
  readonly subnetId: string;
  readonly location: string;
}

/** The product's own name, in the workers' group, for the hub's endpoint of an account that regions share. */
export function sharedEndpointIdOf(
  workerResourceGroupId: string,
  accountName: string,
  service: ZoneService,
): string {
  const name = `holdfast-${accountName}-${service}`;
  return resourceId(workerResourceGroupId, RESOURCE_TYPES.privateEndpoint, name);
}

/** Every endpoint that workers of the region use, except those of disk accesses. */
export function wantedEndpoints(facts: RegionFacts, config: RegionConfig): WantedEndpoint[] {
  const { location, resourceGroupId: group } = config;
  const { subnetId } = regionNamesOf(config);
  const stagingId = stagingAccountIdOf(facts, config);
  const idOf = (name: string): string => resourceId(group, RESOURCE_TYPES.privateEndpoint, name);
  const wanted: WantedEndpoint[] = (["blob", "queue"] as const).map((service) => ({
    what: `the ${service} service of the staging account`,
    targetId: stagingId,
    service,
    endpointId: idOf(`holdfast-${location}-staging-${service}`),
    subnetId,
    location,
  }));
  const hub = {
    subnetId: config.endpointSubnetId,
    location: facts.hub?.location ?? location,
  };
  const controlName = lastNameOf(config.controlAccountId);
  wanted.push({
    what: `the queue service of the control plane's account ${controlName}`,
    targetId: config.controlAccountId,
    service: "queue",
    endpointId: sharedEndpointIdOf(group, controlName, "queue"),
    ...hub,
  });
  for (const { account } of facts.repositories) {
    if (account === undefined) continue;
    if (wanted.some((each) => each.service === "blob" && sameId(each.targetId, account.accountId)))
      continue;
    wanted.push({
      what: `the blob service of the repository account ${account.name}`,
      targetId: account.accountId,
      service: "blob",
      endpointId: sharedEndpointIdOf(group, account.name, "blob"),
      ...hub,
    });
  }
  return wanted;
}

/** The endpoint of a service in the network where it belongs. */
export function findEndpoint(
  endpoints: readonly EndpointFacts[],
  { targetId, service, subnetId, endpointId }: WantedEndpoint,
): EndpointFacts | undefined {
  const networkId = networkIdOf(subnetId);
  const found = endpoints.filter(
    (each) =>
      sameId(each.targetId, targetId) &&
      each.service === service &&
      sameId(networkIdOf(each.subnetId), networkId),
  );
  return (
    found.find(({ connection }) => connection === "Approved") ??
    found.find((each) => sameId(each.endpointId, endpointId)) ??
    found[0]
  );
}

export function planPrivateEndpoints(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
): void {
  for (const { repositoryName, blobServiceUrl, account } of facts.repositories) {
    if (account !== undefined) continue;
    plan.refuse(
      "RepositoryAccountNotFound",
      `The storage account of repository '${repositoryName}' (${blobServiceUrl}) is in none of the subscriptions that the control plane looks at, or it may not read it: give its identity the role 'Holdfast shared account' on the account, and add its subscription to HOLDFAST_SUBSCRIPTION_IDS.`,
    );
  }
  for (const wanted of wantedEndpoints(facts, config)) planEndpoint(plan, facts, config, wanted);
}

function planEndpoint(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
  wanted: WantedEndpoint,
): void {
  const { what, service, targetId, location, subnetId } = wanted;
  const found = findEndpoint(facts.endpoints, wanted);
  const resource = found?.endpointId ?? wanted.endpointId;
  const add = (reason: string): void =>
    plan.add(
      {
        kind: "create-private-endpoint",
        resourceId: resource,
        location,
        subnetId,
        targetId,
        service,
      },
      reason,
      { needs: [networkIdOf(subnetId), subnetId, targetId], costHint: COST_HINT },
    );
  const elsewhere = found === undefined ? findElsewhere(facts.endpoints, wanted) : undefined;
  if (elsewhere !== undefined) moveEndpoint(plan, config, wanted, elsewhere);
  else if (found === undefined) add(`workers in ${config.location} have no way to ${what}`);
  else if (found.provisioning === "pending") plan.wait(resource, `the private endpoint of ${what}`);
  else if (found.provisioning === "failed")
    add(`the private endpoint of ${what} failed to be made`);
  else if (found.connection !== "Approved") refuseConnection(plan, wanted, found);
  planRecord(plan, facts, config, wanted, found);
}

/** The endpoint under the name that a new one would get, in another network: Azure moves none. */
function findElsewhere(
  endpoints: readonly EndpointFacts[],
  { endpointId, subnetId }: WantedEndpoint,
): EndpointFacts | undefined {
  return endpoints.find(
    (each) =>
      sameId(each.endpointId, endpointId) &&
      !sameId(networkIdOf(each.subnetId), networkIdOf(subnetId)),
  );
}

/**
 * The region got another network: its endpoint goes, and the next plan makes it there. One that other
 * regions use too is nobody's to take away without being asked.
 */
function moveEndpoint(
  plan: PlanBuilder,
  config: RegionConfig,
  { what, endpointId, subnetId }: WantedEndpoint,
  elsewhere: EndpointFacts,
): void {
  const there = networkIdOf(elsewhere.subnetId);
  if (elsewhere.provisioning === "pending") plan.wait(endpointId, `the old endpoint of ${what}`);
  else if (sameId(subnetId, regionNamesOf(config).subnetId))
    plan.add(
      { kind: "delete-private-endpoint", resourceId: endpointId },
      `the private endpoint of ${what} is in ${there}, where workers in ${config.location} are no more: it is made again`,
    );
  else
    plan.refuse(
      "EndpointElsewhere",
      `The private endpoint ${endpointId} of ${what} is in ${there} and not in the network of HOLDFAST_ENDPOINT_SUBNET_ID: when no job runs, delete it, and it is made again there.`,
    );
}

function refuseConnection(
  plan: PlanBuilder,
  { what, targetId }: WantedEndpoint,
  { endpointId, connection }: EndpointFacts,
): void {
  const name = lastNameOf(endpointId);
  const account = lastNameOf(targetId);
  if (connection === "Pending")
    plan.refuse(
      "EndpointNotApproved",
      `The private endpoint ${name} to ${what} waits for approval by the account's owner: approve it under Networking, Private endpoint connections of ${account}.`,
    );
  else
    plan.refuse(
      "EndpointRefused",
      `The connection of private endpoint ${name} to ${what} is ${connection}: delete the endpoint ${endpointId}, so that it is made again, and approve it on ${account}.`,
    );
}

/** The record that leads the account's name to the endpoint. */
function planRecord(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
  wanted: WantedEndpoint,
  found: EndpointFacts | undefined,
): void {
  const { service, targetId, what } = wanted;
  const endpointId = found?.endpointId ?? wanted.endpointId;
  const zoneId = zoneIdOf(config.zoneGroupId, service);
  const account = lastNameOf(targetId);
  const address = found?.dns.address;
  const record = facts.records[recordKey(service, account)];
  const isRight = address !== undefined && record?.includes(address) === true;
  if (config.privateDns === "verify") {
    if (found === undefined || plan.isMissing(endpointId) || isRight) return;
    plan.wait(
      `${zoneId}/A/${account}`,
      `an A record ${account} with ${address ?? "the endpoint's address"} in the zone ${zoneId}${record === undefined ? "" : `, which has ${record.join(", ")} there`}; whoever owns the zone makes it, or gives endpoint ${lastNameOf(endpointId)} a DNS zone group`,
    );
    return;
  }
  const groups = found?.dns.zoneGroups ?? [];
  const group = groups.find(({ zoneIds }) => zoneIds.some((each) => sameId(each, zoneId)));
  const add = (reason: string): void =>
    plan.add(
      {
        kind: "create-zone-group",
        resourceId: `${endpointId}/privateDnsZoneGroups/default`,
        endpointId,
        zoneId,
      },
      reason,
      { needs: [endpointId, zoneId] },
    );
  if (found === undefined || group === undefined)
    add(`nothing leads the name of ${what} to its private endpoint`);
  else if (group.provisioning === "pending")
    plan.wait(`${endpointId}/privateDnsZoneGroups/default`, `the DNS record of ${what}`);
  else if (group.provisioning === "failed") add(`the DNS record of ${what} failed to be made`);
  else if (!isRight)
    add(
      record === undefined
        ? `the zone ${lastNameOf(zoneId)} lacks the record ${account}`
        : `the record ${account} in the zone ${lastNameOf(zoneId)} is ${record.join(", ")} and not ${address ?? "known"}`,
    );
}

export function recordKey(service: ZoneService, accountName: string): string {
  return `${service}/${accountName.toLowerCase()}`;
}
