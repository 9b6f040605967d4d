import type { Disk, DiskAccess, Snapshot } from "@azure/arm-compute";
import { HoldfastError } from "#core/lib/errors.ts";
import type { ComputePort, DiskAccessState } from "#core/ports/compute.ts";
import { callAzure, listAzure, readAzure } from "../errors.ts";
import { parseResourceGroupId, parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";
import { provisioningOf } from "./provisioning.ts";

type DiskAccessCalls = Pick<
  ComputePort,
  | "listDiskAccesses"
  | "readDiskAccess"
  | "startDiskAccess"
  | "startDeleteDiskAccess"
  | "listUsedDiskAccesses"
>;

/** Disk accesses: the private ways to the bytes of disks and snapshots. */
export function createDiskAccesses(clientsOf: ClientsOf): DiskAccessCalls {
  return {
    async *listDiskAccesses(resourceGroupId, tagName, tagValue) {
      const { subscriptionId, resourceGroup } = parseResourceGroupId(resourceGroupId);
      const { diskAccesses } = clientsOf(subscriptionId).compute;
      try {
        for await (const found of listAzure(`list disk accesses of ${resourceGroupId}`, () =>
          diskAccesses.listByResourceGroup(resourceGroup),
        ))
          if (found.tags?.[tagName] === tagValue) yield diskAccessStateOf(found.id ?? "", found);
      } catch (error) {
        if (error instanceof HoldfastError && error.code === "ResourceGroupNotFound") return;
        throw error;
      }
    },

    async readDiskAccess(diskAccessId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(diskAccessId);
      const found = await readAzure(`read disk access ${diskAccessId}`, () =>
        clientsOf(subscriptionId).compute.diskAccesses.get(resourceGroup, names[0]),
      );
      return found === undefined ? undefined : diskAccessStateOf(diskAccessId, found);
    },

    async startDiskAccess({ diskAccessId, location, tags }) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(diskAccessId);
      await callAzure(`create disk access ${diskAccessId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.diskAccesses.createOrUpdate(resourceGroup, names[0], {
            location,
            tags: { ...tags },
          }),
        ),
      );
    },

    async startDeleteDiskAccess(diskAccessId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(diskAccessId);
      await readAzure(`delete disk access ${diskAccessId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.diskAccesses.delete(resourceGroup, names[0]),
        ),
      );
    },

    async listUsedDiskAccesses(subscriptionId) {
      const { snapshots, disks } = clientsOf(subscriptionId).compute;
      const used = new Map<string, string[]>();
      const lists: readonly (() => AsyncIterable<Snapshot | Disk>)[] = [
        () => snapshots.list(),
        () => disks.list(),
      ];
      for (const list of lists)
        for await (const { id, diskAccessId } of listAzure(
          `list disks and snapshots of ${subscriptionId}`,
          list,
        ))
          if (diskAccessId !== undefined) {
            const key = diskAccessId.toLowerCase();
            used.set(key, [...(used.get(key) ?? []), id ?? ""]);
          }
      return used;
    },
  };
}

function diskAccessStateOf(diskAccessId: string, found: DiskAccess): DiskAccessState {
  return {
    diskAccessId,
    name: found.name ?? parseResourceId(diskAccessId).names[0],
    location: found.location,
    provisioning: provisioningOf(found.provisioningState),
  };
}
