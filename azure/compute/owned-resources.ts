import type { ComputePort, OwnedResource } from "#core/ports/compute.ts";
import { listAzure } from "../errors.ts";
import type { ClientsOf } from "../resource-manager.ts";

type OwnedCalls = Pick<ComputePort, "listOwned">;

interface Tagged {
  readonly id?: string;
  readonly type?: string;
  readonly tags?: Record<string, string>;
}

/**
 * What a sweep may have to delete, by tag: virtual machines, snapshots, disks and network interfaces,
 * in an order in which nothing is listed before what still uses it. One list per type, because those
 * need no permission beyond the ones that backup needs anyway.
 */
export function createOwnedResources(clientsOf: ClientsOf): OwnedCalls {
  return {
    async *listOwned(subscriptionId, tagName, tagValue) {
      const { compute, network } = clientsOf(subscriptionId);
      const lists: readonly [string, () => AsyncIterable<Tagged>][] = [
        ["Microsoft.Compute/virtualMachines", () => compute.virtualMachines.listAll()],
        ["Microsoft.Compute/snapshots", () => compute.snapshots.list()],
        ["Microsoft.Compute/disks", () => compute.disks.list()],
        ["Microsoft.Network/networkInterfaces", () => network.networkInterfaces.listAll()],
      ];
      for (const [type, list] of lists) {
        for await (const found of listAzure(`list ${type} of ${subscriptionId}`, list)) {
          const owned = ownedOf(found, type, tagName, tagValue);
          if (owned !== undefined) yield owned;
        }
      }
    },
  };
}

function ownedOf(
  found: Tagged,
  type: string,
  tagName: string,
  tagValue: string,
): OwnedResource | undefined {
  if (found.id === undefined) return undefined;
  const tags = found.tags ?? {};
  // Tag names are case-insensitive, values are not.
  const matches = Object.entries(tags).some(
    ([name, value]) => name.toLowerCase() === tagName.toLowerCase() && value === tagValue,
  );
  return matches ? { resourceId: found.id, type, tags } : undefined;
}
