import { ArmError } from "../arm-error.ts";
import { stringAt } from "../json.ts";
import type { LinkedAccess, Resource, ResourceStore, WriteOutcome } from "../provider.ts";
import { parentIdOf, formatResourceId, parseResourceId } from "../resource-id.ts";

/** Versions of Microsoft.Network: the installed client sends the last, templates use those before. */
export const networkVersions = [
  "2023-09-01",
  "2023-11-01",
  "2024-05-01",
  "2024-07-01",
  "2025-01-01",
  "2025-05-01",
  "2025-09-01",
  "2026-01-01",
];

/** Work without anything behind it: the operation only takes its time. */
export const settleWork = { settle: async (): Promise<void> => undefined };

/** A write answered at once with its resource and polled at Azure-AsyncOperation, as Network does. */
export function acceptedWrite(
  content: Extract<WriteOutcome, { kind: "accepted" }>["content"],
): WriteOutcome {
  return { kind: "accepted", content, work: { name: "settle", style: "azureAsyncOperation" } };
}

export const acceptedDelete = {
  kind: "accepted",
  work: { name: "settle", style: "both" },
} as const;

/** A resource that another refers to. Throws 400 when it is missing or in another region. */
export function demandReference(
  resources: ResourceStore,
  reference: { id: string; from: string; location?: string | undefined },
): Resource {
  const found = resources.get(reference.id);
  const location = found === undefined ? undefined : locationOf(resources, found);
  const sameRegion =
    reference.location === undefined || location === undefined || location === reference.location;
  if (found !== undefined && sameRegion) return found;
  throw new ArmError(
    400,
    "InvalidResourceReference",
    `Resource ${reference.id} referenced by resource ${reference.from} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.`,
  );
}

/** Region of a resource, or of the resource that contains it. */
function locationOf(resources: ResourceStore, resource: Resource): string | undefined {
  const own = stringAt(resource.body, "location");
  if (own !== undefined) return own;
  const parsed = parseResourceId(resource.id);
  const parent = parsed === undefined ? undefined : parentIdOf(parsed);
  const found = parent === undefined ? undefined : resources.get(formatResourceId(parent));
  return found === undefined ? undefined : stringAt(found.body, "location");
}

export function joinOf(id: string | undefined, type: string): LinkedAccess[] {
  return id === undefined ? [] : [{ id, action: `Microsoft.Network/${type}/join/action` }];
}
