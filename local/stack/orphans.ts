/**
 * Resources that nothing uses any more, though most of them cost money: what Azure itself shows as
 * unattached, disconnected or pointing to nowhere. Whose they are and whether they are kept on purpose,
 * it does not know.
 */
import { objectAt, objectsAt, referenceAt, stringAt } from "#local/resource-manager/json.ts";
import { attachedVmOf } from "#local/resource-manager/network/attachment.ts";
import type { Resource, ResourceStore } from "#local/resource-manager/provider.ts";
import { sameId } from "#local/resource-manager/resource-id.ts";

/** Says why nothing uses the resource, or nothing. */
export function whyOrphan(resources: ResourceStore, resource: Resource): string | undefined {
  const properties = objectAt(resource.body, "properties");
  const isGone = (id: string | undefined): boolean =>
    id !== undefined && resources.get(id) === undefined;
  switch (resource.type.toLowerCase()) {
    case "microsoft.compute/disks": {
      const owner = stringAt(resource.body, "managedBy");
      return owner === undefined || isGone(owner) ? "attached to no machine" : undefined;
    }
    case "microsoft.compute/snapshots": {
      const source = stringAt(objectAt(properties, "creationData"), "sourceResourceId");
      return isGone(source) ? "its disk is gone" : undefined;
    }
    case "microsoft.compute/diskaccesses":
      return isEndpointTarget(resources, resource) ? undefined : "no private endpoint leads to it";
    case "microsoft.network/networkinterfaces": {
      const user =
        attachedVmOf(resource) ?? stringAt(resource.internal, "privateEndpointId") ?? resource.id;
      return sameId(user, resource.id) || isGone(user) ? "used by no machine" : undefined;
    }
    case "microsoft.network/privateendpoints":
      return targetsOf(resource).some(isGone) ? "its target is gone" : undefined;
    case "microsoft.network/privatednszones/virtualnetworklinks":
      return isGone(referenceAt(properties, "virtualNetwork")) ? "its network is gone" : undefined;
    case "microsoft.network/virtualnetworks/virtualnetworkpeerings":
      return isGone(referenceAt(properties, "remoteVirtualNetwork"))
        ? "the other network is gone"
        : undefined;
    default:
      return undefined;
  }
}

function isEndpointTarget(resources: ResourceStore, { id }: Resource): boolean {
  return resources
    .list("Microsoft.Network/privateEndpoints")
    .some((endpoint) => targetsOf(endpoint).some((target) => sameId(target, id)));
}

function targetsOf({ body }: Resource): string[] {
  const properties = objectAt(body, "properties");
  return objectsAt(properties, "privateLinkServiceConnections").flatMap(
    (connection) => stringAt(objectAt(connection, "properties"), "privateLinkServiceId") ?? [],
  );
}
