import { HoldfastError } from "#core/lib/errors.ts";

/** The parts of a Resource Manager id that SDK calls ask for one by one. */
export interface ResourceId {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
  /** Resource name, outermost first: `[vnet, subnet]` for a subnet. */
  readonly names: readonly [string, ...string[]];
}

const RESOURCE_ID =
  /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/[^/]+((?:\/[^/]+\/[^/]+)+)$/i;
const RESOURCE_GROUP_ID = /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)$/i;

/**
 * Splits `/subscriptions/../resourceGroups/../providers/<namespace>/<type>/<name>[/<type>/<name>]`.
 * Throws `HoldfastError` code `InvalidResourceId`.
 */
export function parseResourceId(id: string): ResourceId {
  const [, subscriptionId, resourceGroup, path] = RESOURCE_ID.exec(id) ?? [];
  if (subscriptionId === undefined || resourceGroup === undefined || path === undefined) {
    throw invalid(id);
  }
  const [first, ...rest] = path.split("/").filter((_, index) => index > 0 && index % 2 === 0);
  if (first === undefined) throw invalid(id);
  return { subscriptionId, resourceGroup, names: [first, ...rest] };
}

/** Splits `/subscriptions/../resourceGroups/..`. Throws `HoldfastError` code `InvalidResourceId`. */
export function parseResourceGroupId(id: string): {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
} {
  const [, subscriptionId, resourceGroup] = RESOURCE_GROUP_ID.exec(id) ?? [];
  if (subscriptionId === undefined || resourceGroup === undefined) throw invalid(id);
  return { subscriptionId, resourceGroup };
}

function invalid(id: string): HoldfastError {
  return new HoldfastError(
    "InvalidResourceId",
    `"${id}" is not a Resource Manager id of the expected form. Check the configuration.`,
  );
}
