/** What Resource Manager knows of networks, in the form in which the data planes ask for it. */
import { objectAt, stringAt } from "#local/resource-manager/json.ts";
import { liveEndpoints, type LiveEndpoint } from "#local/resource-manager/network/reachability.ts";
import type { ResourceStore } from "#local/resource-manager/provider.ts";
import { idKey, nameOf, sameId } from "#local/resource-manager/resource-id.ts";
import type { NetworkSettings } from "#local/storage/azurite-messages.ts";
import { internetOrigin, type EndpointOrigins } from "./network-origins.ts";

const accountType = "Microsoft.Storage/storageAccounts";

export function storageNetworkOf(
  resources: ResourceStore,
  origins: EndpointOrigins,
): NetworkSettings {
  const live = liveEndpoints(resources);
  const accounts = resources.list(accountType).map(({ id, name, body }) => {
    const properties = objectAt(body, "properties");
    const rules = objectAt(properties, "networkAcls");
    return {
      name,
      publicAccess:
        stringAt(properties, "publicNetworkAccess") !== "Disabled" &&
        stringAt(rules, "defaultAction") !== "Deny",
      sharedKeys: properties["allowSharedKeyAccess"] !== false,
      endpointServices: live.filter(({ targetId }) => sameId(targetId, id)).map(groupOf),
    };
  });
  const names = new Set(accounts.map(({ name }) => name));
  const endpoints = live.flatMap(({ endpointId, targetId, groupId }) => {
    const account = nameOf(targetId);
    if (!names.has(account)) return [];
    return [{ address: origins.addressOf(endpointId), account, service: groupId }];
  });
  return { accounts, endpoints, internetAddress: internetOrigin };
}

function groupOf({ groupId }: LiveEndpoint): string {
  return groupId;
}

/**
 * Whether an exported disk or snapshot answers a connection: `AllowPrivate` only through the private
 * endpoint of its own disk access, and an endpoint only for what names its disk access
 * (learn.microsoft.com/azure/virtual-machines/disks-enable-private-links-for-import-export-portal).
 * @param from loopback address that the connection comes from
 */
export function mayReachDisk(
  resources: ResourceStore,
  origins: EndpointOrigins,
  resourceId: string,
  from: string | undefined,
): boolean {
  const properties = objectAt(resources.get(resourceId)?.body ?? {}, "properties");
  const policy = stringAt(properties, "networkAccessPolicy") ?? "AllowAll";
  const diskAccessId = stringAt(properties, "diskAccessId");
  if (policy === "DenyAll") return false;
  const own = liveEndpoints(resources).filter(
    ({ targetId }) => diskAccessId !== undefined && sameId(targetId, diskAccessId),
  );
  const endpointId = origins.endpointAt(from);
  if (endpointId !== undefined) return own.some((each) => idKey(each.endpointId) === endpointId);
  const isPrivate = policy === "AllowPrivate" || properties["publicNetworkAccess"] === "Disabled";
  if (!isPrivate) return true;
  // A process of the machine itself stands for one in the private network, if there is a way at all.
  return from !== internetOrigin && own.length > 0;
}
