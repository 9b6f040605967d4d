/**
 * Resource ids: `/subscriptions/{s}/resourceGroups/{g}/providers/{namespace}/{type}/{name}/...`.
 * They compare without regard to case and keep the case of their creator.
 */
export interface ResourceId {
  readonly subscriptionId: string;
  /** Absent for resources of a subscription itself. */
  readonly resourceGroup?: string;
  readonly namespace: string;
  /** e.g. `["virtualNetworks", "subnets"]`. */
  readonly types: readonly string[];
  /** As many as `types`. */
  readonly names: readonly string[];
}

const idPattern =
  /^\/subscriptions\/([^/]+)(?:\/resourceGroups\/([^/]+))?\/providers\/([^/]+)((?:\/[^/]+\/[^/]+)+)$/i;

/** The parts of a resource id, or undefined when `id` is not one. */
export function parseResourceId(id: string): ResourceId | undefined {
  const match = idPattern.exec(id);
  const [, subscriptionId, resourceGroup, namespace, rest] = match ?? [];
  if (subscriptionId === undefined || namespace === undefined || rest === undefined)
    return undefined;
  const segments = rest.slice(1).split("/");
  return {
    subscriptionId,
    ...(resourceGroup === undefined ? {} : { resourceGroup }),
    namespace,
    types: segments.filter((_, index) => index % 2 === 0),
    names: segments.filter((_, index) => index % 2 === 1),
  };
}

export function formatResourceId(id: ResourceId): string {
  const group = id.resourceGroup === undefined ? "" : `/resourceGroups/${id.resourceGroup}`;
  const path = id.types.map((type, index) => `/${type}/${id.names[index] ?? ""}`).join("");
  return `/subscriptions/${id.subscriptionId}${group}/providers/${id.namespace}${path}`;
}

/** The form under which ids are compared and stored. */
export function idKey(id: string): string {
  return id.toLowerCase();
}

export function sameId(one: string, other: string): boolean {
  return idKey(one) === idKey(other);
}

/** `Microsoft.Network/virtualNetworks/subnets`. */
export function fullTypeOf(id: ResourceId): string {
  return [id.namespace, ...id.types].join("/");
}

/** The id of the resource that contains this child, or undefined for a top-level resource. */
export function parentIdOf(id: ResourceId): ResourceId | undefined {
  if (id.types.length < 2) return undefined;
  return { ...id, types: id.types.slice(0, -1), names: id.names.slice(0, -1) };
}

/** The last name of an id, e.g. `vm1`. */
export function nameOf(id: string): string {
  return id.slice(id.lastIndexOf("/") + 1);
}
