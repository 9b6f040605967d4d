/**
 * The control plane's own network, which a deployment makes: a subnet for the app's VNet integration,
 * one for private endpoints, the private DNS zones, and the endpoints of the control plane's storage
 * account. Worker networks are made and peered with it by the product.
 */
import { sharedEndpointIdOf } from "#core/network/plan-private-endpoints.ts";
import { networkLabelOf } from "#core/network/region-plan.ts";
import type { ArmClient } from "./arm-client.ts";

const networkVersion = "2024-05-01";
const zoneVersion = "2024-06-01";
const addressSpace = "10.212.0.0/16";
/** An address of the app's subnet; instances get theirs from the platform, without an interface. */
const appAddress = "10.212.0.10";

const zoneNames = {
  blob: "privatelink.blob.core.windows.net",
  queue: "privatelink.queue.core.windows.net",
  table: "privatelink.table.core.windows.net",
} as const;
type Service = keyof typeof zoneNames;
const services: readonly Service[] = ["blob", "queue", "table"];

export interface ControlNetwork {
  readonly networkId: string;
  readonly endpointSubnetId: string;
  /** Resource group of the private DNS zones. */
  readonly zoneGroupId: string;
  readonly appAddress: string;
}

export interface ControlNetworkRequest {
  readonly resourceGroupId: string;
  readonly workerResourceGroupId: string;
  readonly location: string;
  /** Gets an endpoint for each of its services. */
  readonly accountId: string;
}

export async function deployControlNetwork(
  arm: ArmClient,
  request: ControlNetworkRequest,
): Promise<ControlNetwork> {
  const { resourceGroupId, workerResourceGroupId, location, accountId } = request;
  const network = `${resourceGroupId}/providers/Microsoft.Network`;
  const networkId = `${network}/virtualNetworks/holdfast-control`;
  const put = (path: string, apiVersion: string, body: unknown) =>
    arm.request({ method: "PUT", path, apiVersion, body });
  const delegation = {
    name: "app",
    properties: { serviceName: "Microsoft.Web/serverFarms" },
  };
  await put(networkId, networkVersion, {
    location,
    properties: {
      addressSpace: { addressPrefixes: [addressSpace] },
      subnets: [
        {
          name: "app",
          properties: {
            addressPrefix: "10.212.0.0/24",
            delegations: [delegation],
            defaultOutboundAccess: false,
          },
        },
        {
          name: "endpoints",
          properties: { addressPrefix: "10.212.1.0/24", defaultOutboundAccess: false },
        },
      ],
    },
  });
  const endpointSubnetId = `${networkId}/subnets/endpoints`;
  const connectService = async (service: Service): Promise<void> => {
    const zoneId = `${network}/privateDnsZones/${zoneNames[service]}`;
    await put(zoneId, zoneVersion, { location: "global" });
    // The product's own name for it: should it go, the product makes the same link again.
    await put(`${zoneId}/virtualNetworkLinks/${networkLabelOf(networkId)}`, zoneVersion, {
      location: "global",
      properties: { virtualNetwork: { id: networkId }, registrationEnabled: false },
    });
    // Workers need the queue's too. The product's own name again, for the same reason.
    const accountName = accountId.slice(accountId.lastIndexOf("/") + 1);
    const endpointId =
      service === "queue"
        ? sharedEndpointIdOf(workerResourceGroupId, accountName, service)
        : `${network}/privateEndpoints/holdfast-control-${service}`;
    const connection = { privateLinkServiceId: accountId, groupIds: [service] };
    await put(endpointId, networkVersion, {
      location,
      properties: {
        subnet: { id: endpointSubnetId },
        privateLinkServiceConnections: [{ name: service, properties: connection }],
      },
    });
    await put(`${endpointId}/privateDnsZoneGroups/default`, networkVersion, {
      properties: {
        privateDnsZoneConfigs: [{ name: service, properties: { privateDnsZoneId: zoneId } }],
      },
    });
  };
  await Promise.all(services.map(connectService));
  return { networkId, endpointSubnetId, zoneGroupId: resourceGroupId, appAddress };
}
