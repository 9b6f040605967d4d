import type { Snapshot } from "@azure/arm-compute";
import type { ComputePort, SnapshotState } from "#core/ports/compute.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";
import { networkAccessOf, privateThrough } from "./network-access.ts";
import { diskSizeOf, provisioningOf } from "./provisioning.ts";

type SnapshotCalls = Pick<
  ComputePort,
  "startSnapshot" | "readSnapshot" | "startDeleteSnapshot" | "startSnapshotAccess"
>;

export function createSnapshots(clientsOf: ClientsOf): SnapshotCalls {
  return {
    async startSnapshot(request) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(request.snapshotId);
      await callAzure(`create snapshot ${request.snapshotId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.snapshots.createOrUpdate(resourceGroup, names[0], {
            location: request.location,
            tags: { ...request.tags },
            // Billed by used size on Standard storage, whatever the disk is.
            sku: { name: "Standard_LRS" },
            incremental: true,
            creationData: { createOption: "Copy", sourceResourceId: request.sourceDiskId },
            // In the call that makes it: set later, there would be a time without it.
            ...privateThrough(request.diskAccessId),
            ...(request.dataAccessAuthMode !== undefined && {
              dataAccessAuthMode: request.dataAccessAuthMode,
            }),
          }),
        ),
      );
    },

    async readSnapshot(snapshotId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(snapshotId);
      const snapshot = await readAzure(`read snapshot ${snapshotId}`, () =>
        clientsOf(subscriptionId).compute.snapshots.get(resourceGroup, names[0]),
      );
      return snapshot === undefined ? undefined : snapshotStateOf(snapshotId, snapshot);
    },

    async startSnapshotAccess(snapshotId, diskAccessId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(snapshotId);
      await callAzure(`move snapshot ${snapshotId} to disk access ${diskAccessId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.snapshots.update(
            resourceGroup,
            names[0],
            privateThrough(diskAccessId),
          ),
        ),
      );
    },

    async startDeleteSnapshot(snapshotId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(snapshotId);
      await readAzure(`delete snapshot ${snapshotId}`, () =>
        submit(() => clientsOf(subscriptionId).compute.snapshots.delete(resourceGroup, names[0])),
      );
    },
  };
}

function snapshotStateOf(snapshotId: string, snapshot: Snapshot): SnapshotState {
  return {
    snapshotId,
    provisioning: provisioningOf(snapshot.provisioningState),
    // Absent for disks whose snapshots are complete at once (all but Premium SSD v2 and Ultra).
    completionPercent: snapshot.completionPercent ?? 100,
    sizeBytes: diskSizeOf(snapshot),
    familyId: snapshot.incrementalSnapshotFamilyId,
    sourceDiskUniqueId: snapshot.creationData?.sourceUniqueId,
    createdAt: snapshot.timeCreated,
    tags: snapshot.tags ?? {},
    location: snapshot.location,
    networkAccess: networkAccessOf(snapshot),
    needsToken: snapshot.dataAccessAuthMode === "AzureActiveDirectory",
  };
}
