import type { DiskService } from "#local/disks/disk-service.ts";
import type { ResourceManager } from "#local/resource-manager/resource-manager.ts";
import type { ResourceRow } from "./control-protocol.ts";

/** Everything that somebody made and may have forgotten; role assignments cost nothing and hide much. */
const hiddenNamespaces = ["microsoft.authorization"];

/** All resources of a stack, with tags and the expiry of live SAS. Never a SAS itself. */
export function listResources(
  resourceManager: ResourceManager,
  disks: DiskService,
): readonly ResourceRow[] {
  const grants = new Map(
    disks.listGrants().map(({ id, expiresAt }) => [id, expiresAt.toISOString()]),
  );
  return resourceManager.resources
    .descendants("")
    .filter(({ type }) => !hiddenNamespaces.some((name) => type.toLowerCase().startsWith(name)))
    .map(({ id, name, type, body }) => ({
      resourceId: id,
      type,
      name,
      region: typeof body["location"] === "string" ? body["location"] : undefined,
      tags: tagsOf(body["tags"]),
      sasExpiresAt: grants.get(id.toLowerCase()),
    }));
}

function tagsOf(tags: unknown): Record<string, string> {
  if (typeof tags !== "object" || tags === null) return {};
  return Object.fromEntries(Object.entries(tags).map(([name, value]) => [name, String(value)]));
}
