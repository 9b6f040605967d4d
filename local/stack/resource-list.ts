import type { DiskService } from "#local/disks/disk-service.ts";
import type { ResourceManager } from "#local/resource-manager/resource-manager.ts";
import type { ResourceRow } from "./control-protocol.ts";
import { whyOrphan } from "./orphans.ts";

/** Everything that somebody made and may have forgotten; role assignments cost nothing and hide much. */
const hiddenNamespaces = ["microsoft.authorization"];

/** All resources of a stack, with tags, the expiry of live SAS, and why nothing uses them. Never a SAS. */
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
    .map((resource) => {
      const { id, name, type, body } = resource;
      return {
        resourceId: id,
        type,
        name,
        region: typeof body["location"] === "string" ? body["location"] : undefined,
        tags: tagsOf(body["tags"]),
        sasExpiresAt: grants.get(id.toLowerCase()),
        orphan: whyOrphan(resourceManager.resources, resource),
      };
    });
}

function tagsOf(tags: unknown): Record<string, string> {
  if (typeof tags !== "object" || tags === null) return {};
  return Object.fromEntries(Object.entries(tags).map(([name, value]) => [name, String(value)]));
}
