import { ArmError } from "../arm-error.ts";
import { objectAt, stringAt } from "../json.ts";
import type { RequestContext, Resource, ResourceType } from "../provider.ts";
import { sameId } from "../resource-id.ts";
import { diskApiVersions } from "./compute-services.ts";

const diskAccessType = "Microsoft.Compute/diskAccesses";
const encryptionSetType = "Microsoft.Compute/diskEncryptionSets";

/** "Currently only one endpoint connection is supported" (arm-compute, DiskAccess). */
const maxConnections = 1;

export function diskAccesses(): ResourceType {
  return {
    type: "diskAccesses",
    apiVersions: diskApiVersions,
    tracked: true,
    put: ({ body, existing, now, newGuid }) => ({
      kind: "accepted",
      content: {
        internal: { hostName: exportHostOf(existing) ?? newExportHost(newGuid()) },
        body: {
          ...body,
          properties: {
            timeCreated:
              stringAt(objectAt(existing?.body ?? {}, "properties"), "timeCreated") ??
              now().toISOString(),
          },
        },
      },
      work: { name: "settle", style: "both", initialStatus: 202 },
    }),
    remove: ({ existing, resources }) => {
      const user = ["Microsoft.Compute/snapshots", "Microsoft.Compute/disks"]
        .flatMap((type) => resources.list(type))
        .find((found) =>
          sameId(stringAt(objectAt(found.body, "properties"), "diskAccessId") ?? "", existing.id),
        );
      if (user !== undefined) {
        throw new ArmError(
          409,
          "OperationNotAllowed",
          `Disk access ${existing.name} is in use by ${user.id} and cannot be deleted.`,
        );
      }
      return { kind: "accepted", work: { name: "settle", style: "both" } };
    },
    work: { settle: async () => undefined },
    privateLink: {
      groupIds: ["disks"],
      hostNames: (target) => [exportHostOf(target) ?? ""],
      checkConnection: (target, resources) => {
        const type = `${diskAccessType}/privateEndpointConnections`;
        const count = resources.list(type, target.id).length;
        if (count < maxConnections) return undefined;
        return new ArmError(
          400,
          "PrivateEndpointConnectionLimitReached",
          `Disk access ${target.name} takes only ${maxConnections} private endpoint connection.`,
        );
      },
    },
  };
}

/** Where disks and snapshots of a disk access are exported from; its form is assumed. */
export function exportHostOf(diskAccess: Resource | undefined): string | undefined {
  return diskAccess === undefined ? undefined : stringAt(diskAccess.internal, "hostName");
}

function newExportHost(guid: string): string {
  const digits = guid.replaceAll("-", "");
  return `md-impexp-${digits.slice(0, 12)}.z${(parseInt(digits.slice(12, 14), 16) % 50) + 1}.blob.storage.azure.net`;
}

/** Keys live elsewhere; a set only has to exist to be named by disks. */
export function diskEncryptionSets(): ResourceType {
  return {
    type: "diskEncryptionSets",
    apiVersions: diskApiVersions,
    tracked: true,
    identity: true,
    put: ({ body }) => ({
      kind: "accepted",
      content: { body },
      work: { name: "settle", style: "both", initialStatus: 202 },
    }),
    remove: () => ({ kind: "accepted", work: { name: "settle", style: "both" } }),
    work: { settle: async () => undefined },
  };
}

/** A disk access or encryption set that a body names must exist in the region of the disk. */
export function checkDiskAccess(
  request: RequestContext & { readonly body?: unknown },
  properties: {
    diskAccessId?: string | undefined;
    encryption?: { diskEncryptionSetId?: string | undefined } | undefined;
  },
): void {
  const named = [
    [properties.diskAccessId, diskAccessType, "diskAccessId"],
    [properties.encryption?.diskEncryptionSetId, encryptionSetType, "diskEncryptionSetId"],
  ] as const;
  for (const [id, type, target] of named) {
    if (id === undefined) continue;
    const found = request.resources.get(id);
    if (found !== undefined && sameId(found.type, type)) continue;
    throw new ArmError(404, "ResourceNotFound", `The Resource '${id}' was not found.`, { target });
  }
}
