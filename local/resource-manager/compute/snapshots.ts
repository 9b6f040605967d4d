/**
 * Snapshots as resources. Freezing a disk takes constant time, so it happens while the PUT is
 * answered: the point in time is that of the request, and limits (7 in 5 minutes, 500 per disk) are
 * refusals of the request. The operation that follows only lets clients poll.
 */
import { ArmError, invalidParameter } from "../arm-error.ts";
import { objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type {
  AccessRequest,
  LinkedAccess,
  PutRequest,
  RequestContext,
  Resource,
  ResourceType,
  WriteOutcome,
} from "../provider.ts";
import { idKey, sameId } from "../resource-id.ts";
import { propertyChangeNotAllowed, requireSameSubscription } from "./body-schema.ts";
import { diskApiVersions, type ComputeServices } from "./compute-services.ts";
import { checkDiskAccess } from "./disk-accesses.ts";
import {
  bytesPerGiB,
  parseSnapshotBody,
  patchedBody,
  policyProperties,
  updatedProperties,
  snapshotSku,
} from "./disk-body.ts";
import { callDisks } from "./disk-errors.ts";
import { grantActions, grantWork } from "./disk-grants.ts";
import { diskType, findSource } from "./disks.ts";

export function snapshots(services: ComputeServices): ResourceType {
  return {
    type: "snapshots",
    apiVersions: diskApiVersions,
    tracked: true,
    put: (request) =>
      request.existing === undefined
        ? createSnapshot(services, request)
        : updateSnapshot(request, request.existing, request.body),
    patch: (request) => updateSnapshot(request, request.existing, patchedBody(request)),
    remove: ({ existing }) => {
      if (services.disks.describeSnapshot(idKey(existing.id))?.liveGrant !== undefined) {
        throw new ArmError(
          409,
          "OperationNotAllowed",
          `There is an active shared access signature outstanding for snapshot ${existing.name}. Call EndGetAccess before deleting the snapshot.`,
        );
      }
      return { kind: "accepted", work: { name: "delete", style: "both" } };
    },
    show: (resource) => showSnapshot(services, resource),
    actions: grantActions(services, "snapshot"),
    work: {
      create: async () => undefined,
      update: async () => undefined,
      delete: async ({ id }) => {
        await callDisks(() => services.disks.deleteSnapshot(idKey(id)));
      },
      ...grantWork(services, "snapshot"),
    },
    linkedAccess,
  };
}

/**
 * Whoever snapshots a disk must be allowed to read its content: that is all that the built-in role
 * "Disk Backup Reader" gives on the source.
 */
function linkedAccess({ method, body }: AccessRequest): readonly LinkedAccess[] {
  const creationData = objectAt(objectAt(body, "properties"), "creationData");
  const id = stringAt(creationData, "sourceResourceId");
  if (method !== "PUT" || id === undefined) return [];
  return [{ id, action: "Microsoft.Compute/disks/beginGetAccess/action" }];
}

async function createSnapshot(
  services: ComputeServices,
  request: PutRequest,
): Promise<WriteOutcome> {
  const { body, id } = request;
  const properties = parseSnapshotBody(body);
  const { creationData, incremental } = properties;
  if (creationData.createOption !== "Copy") {
    throw invalidParameter(
      "snapshot.creationData.createOption",
      `The value '${creationData.createOption}' of parameter snapshot.creationData.createOption is not supported here.`,
    );
  }
  if (creationData.sourceResourceId === undefined) {
    throw invalidParameter(
      "snapshot.creationData.sourceResourceId",
      "Required parameter 'snapshot.creationData.sourceResourceId' is missing (null).",
    );
  }
  const sku = snapshotSku(body);
  checkDiskAccess(request, properties);
  requireSameSubscription(
    id,
    creationData.sourceResourceId,
    "snapshot.creationData.sourceResourceId",
  );
  const source = findSource(
    request,
    creationData.sourceResourceId,
    stringAt(body, "location") ?? "",
  );
  if (!sameId(source.type, diskType)) {
    throw invalidParameter(
      "snapshot.creationData.sourceResourceId",
      "Entity not of expected type: only a disk of this region can be copied to a snapshot here.",
    );
  }
  const sourceProperties = objectAt(source.body, "properties");
  // Bytes without a resource are what a kill between the two left behind.
  await callDisks(() => services.disks.deleteSnapshot(idKey(id)));
  await callDisks(() =>
    services.disks.createSnapshot({
      snapshotId: idKey(id),
      diskId: idKey(source.id),
      incremental: incremental ?? false,
    }),
  );
  return {
    kind: "accepted",
    content: {
      body: {
        ...body,
        sku,
        properties: withoutUndefined({
          osType: sourceProperties["osType"],
          hyperVGeneration: sourceProperties["hyperVGeneration"],
          securityProfile: sourceProperties["securityProfile"],
          purchasePlan: sourceProperties["purchasePlan"],
          supportedCapabilities: sourceProperties["supportedCapabilities"],
          supportsHibernation: sourceProperties["supportsHibernation"],
          ...policyProperties(properties),
          creationData: { createOption: "Copy", sourceResourceId: source.id },
          incremental: incremental ?? false,
          timeCreated: request.now().toISOString(),
        }),
      },
    },
    work: { name: "create", style: "both", initialStatus: 202 },
  };
}

function updateSnapshot(
  request: RequestContext,
  existing: Resource,
  wanted: JsonObject,
): WriteOutcome {
  const before = objectAt(existing.body, "properties");
  const properties = parseSnapshotBody({
    ...wanted,
    properties: { creationData: before["creationData"] ?? {}, ...objectAt(wanted, "properties") },
  });
  const sourceId = stringAt(objectAt(before, "creationData"), "sourceResourceId") ?? "";
  const { sourceResourceId } = properties.creationData;
  if (sourceResourceId !== undefined && !sameId(sourceResourceId, sourceId)) {
    throw propertyChangeNotAllowed("snapshot.creationData.sourceResourceId");
  }
  const { incremental } = properties;
  if (incremental !== undefined && incremental !== before["incremental"]) {
    throw propertyChangeNotAllowed("snapshot.incremental");
  }
  checkDiskAccess(request, properties);
  const body: JsonObject = {
    ...existing.body,
    ...wanted,
    sku: snapshotSku(wanted["sku"] === undefined ? existing.body : wanted),
    properties: updatedProperties(before, properties),
  };
  return {
    kind: "accepted",
    content: { body },
    work: { name: "update", style: "both", initialStatus: 202 },
  };
}

/** Read-back fields: facts 2.2. Premium and Standard disks need no background copy. */
function showSnapshot(services: ComputeServices, resource: Resource): JsonObject {
  const description = services.disks.describeSnapshot(idKey(resource.id));
  if (description === undefined) return resource.body;
  const properties = objectAt(resource.body, "properties");
  return {
    ...resource.body,
    properties: withoutUndefined({
      ...properties,
      creationData: {
        ...objectAt(properties, "creationData"),
        sourceUniqueId: description.sourceUniqueId,
      },
      diskSizeBytes: description.sizeBytes,
      diskSizeGB: Math.ceil(description.sizeBytes / bytesPerGiB),
      diskState: description.state,
      uniqueId: description.uniqueId,
      incrementalSnapshotFamilyId: description.familyId,
      completionPercent: 100,
      snapshotAccessState: "Available",
    }),
  };
}
