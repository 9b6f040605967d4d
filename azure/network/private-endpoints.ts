import type { PrivateEndpoint } from "@azure/arm-network";
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  PrivateEndpointRequest,
  PrivateEndpointState,
  RegionPort,
} from "#core/ports/region.ts";
import { provisioningOf } from "../compute/provisioning.ts";
import { callAzure, listAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";

type EndpointCalls = Pick<
  RegionPort,
  | "listPrivateEndpoints"
  | "readEndpointDns"
  | "startPrivateEndpoint"
  | "startDeletePrivateEndpoint"
  | "startZoneGroup"
>;

const ZONE_GROUP_NAME = "default";
/** Azure shows it to the owner who approves; 140 characters at most. */
const REQUEST_MESSAGE = "Holdfast backs up virtual machines through this connection.";
/** Who may not approve connections of the target gets one of these for an approved one. */
const APPROVAL_REFUSALS: ReadonlySet<string> = new Set([
  "AuthorizationFailed",
  "LinkedAuthorizationFailed",
]);

export function createPrivateEndpoints(clientsOf: ClientsOf): EndpointCalls {
  return {
    async *listPrivateEndpoints(subscriptionId) {
      const endpoints = listAzure(`list private endpoints of ${subscriptionId}`, () =>
        clientsOf(subscriptionId).network.privateEndpoints.listBySubscription(),
      );
      for await (const endpoint of endpoints) {
        const state = stateOf(endpoint);
        if (state !== undefined) yield state;
      }
    },

    async readEndpointDns({ endpointId, interfaceId }) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(endpointId);
      const { network } = clientsOf(subscriptionId);
      const zoneGroups = [];
      const recordNames: string[] = [];
      let recorded: string | undefined;
      const groups = listAzure(`list DNS zone groups of ${endpointId}`, () =>
        network.privateDnsZoneGroups.list(resourceGroup, names[0]),
      );
      for await (const { privateDnsZoneConfigs = [], provisioningState } of groups) {
        zoneGroups.push({
          zoneIds: privateDnsZoneConfigs.flatMap((each) => each.privateDnsZoneId ?? []),
          provisioning: provisioningOf(provisioningState),
        });
        const recordSets = privateDnsZoneConfigs.flatMap((each) => each.recordSets ?? []);
        recorded ??= recordSets[0]?.ipAddresses?.[0];
        recordNames.push(...recordSets.flatMap((each) => each.recordSetName ?? []));
      }
      // The group tells the address; without one the endpoint's interface does.
      const address = recorded ?? (await addressOf(clientsOf, interfaceId));
      return { address, zoneGroups, recordNames };
    },

    async startPrivateEndpoint(request) {
      try {
        await putEndpoint(clientsOf, request, "approved");
      } catch (error) {
        const isRefused = error instanceof HoldfastError && APPROVAL_REFUSALS.has(error.code);
        if (!isRefused) throw error;
        // Who may not approve asks; a refusal of something else comes again.
        await putEndpoint(clientsOf, request, "asked");
      }
    },

    async startDeletePrivateEndpoint(endpointId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(endpointId);
      await readAzure(`delete private endpoint ${endpointId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).network.privateEndpoints.delete(resourceGroup, names[0]),
        ),
      );
    },

    async startZoneGroup(endpointId, zoneId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(endpointId);
      const [service = "zone"] = /privatelink\.(\w+)\./.exec(zoneId)?.slice(1) ?? [];
      await callAzure(`create the DNS zone group of ${endpointId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).network.privateDnsZoneGroups.createOrUpdate(
            resourceGroup,
            names[0],
            ZONE_GROUP_NAME,
            { privateDnsZoneConfigs: [{ name: service, privateDnsZoneId: zoneId }] },
          ),
        ),
      );
    },
  };
}

async function putEndpoint(
  clientsOf: ClientsOf,
  request: PrivateEndpointRequest,
  connection: "approved" | "asked",
): Promise<void> {
  const { endpointId, location, subnetId, targetId, service, tags } = request;
  const { subscriptionId, resourceGroup, names } = parseResourceId(endpointId);
  const link = {
    name: service,
    privateLinkServiceId: targetId,
    groupIds: [service],
    ...(connection === "asked" ? { requestMessage: REQUEST_MESSAGE } : {}),
  };
  const body: PrivateEndpoint = {
    location,
    tags: { ...tags },
    subnet: { id: subnetId },
    ...(connection === "asked"
      ? { manualPrivateLinkServiceConnections: [link] }
      : { privateLinkServiceConnections: [link] }),
  };
  await callAzure(`create private endpoint ${endpointId}`, () =>
    submit(() =>
      clientsOf(subscriptionId).network.privateEndpoints.createOrUpdate(
        resourceGroup,
        names[0],
        body,
      ),
    ),
  );
}

/** The address is that of the endpoint's interface. */
async function addressOf(
  clientsOf: ClientsOf,
  interfaceId: string | undefined,
): Promise<string | undefined> {
  if (interfaceId === undefined) return undefined;
  const { subscriptionId, resourceGroup, names } = parseResourceId(interfaceId);
  const nic = await readAzure(`read interface ${interfaceId}`, () =>
    clientsOf(subscriptionId).network.networkInterfaces.get(resourceGroup, names[0]),
  );
  return nic?.ipConfigurations?.[0]?.privateIPAddress;
}

/** Endpoints with one connection for one sub-resource, as all that matter here have. */
function stateOf(endpoint: PrivateEndpoint): PrivateEndpointState | undefined {
  const [connection] = [
    ...(endpoint.privateLinkServiceConnections ?? []),
    ...(endpoint.manualPrivateLinkServiceConnections ?? []),
  ];
  const [service] = connection?.groupIds ?? [];
  const { id, subnet } = endpoint;
  const targetId = connection?.privateLinkServiceId;
  if (id === undefined || subnet?.id === undefined) return undefined;
  if (service === undefined || targetId === undefined) return undefined;
  return {
    endpointId: id,
    subnetId: subnet.id,
    targetId,
    service,
    provisioning: provisioningOf(endpoint.provisioningState),
    connection: connection?.privateLinkServiceConnectionState?.status ?? "Pending",
    interfaceId: endpoint.networkInterfaces?.[0]?.id,
    tags: endpoint.tags ?? {},
  };
}
