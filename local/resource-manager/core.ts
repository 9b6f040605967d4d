import type { TokenService } from "../identity/token-service.ts";
import type { AccessCheck } from "./authorization/access-check.ts";
import type { Operations } from "./operations.ts";
import type { ProviderContext, Resource, ResourceProvider, ResourceType } from "./provider.ts";
import type { ResourceId } from "./resource-id.ts";
import type { ResourceTable } from "./resource-table.ts";
import { privateEndpointConnectionType } from "./private-link.ts";
import type { Throttle } from "./throttling.ts";
import type { ArmRequest } from "./arm-message.ts";

export interface Subscription {
  readonly subscriptionId: string;
  readonly displayName: string;
}

/** A resource type with the provider that it belongs to. */
export interface RegisteredType {
  readonly provider: ResourceProvider;
  readonly definition: ResourceType;
  /** `Microsoft.Network/virtualNetworks`. */
  readonly fullType: string;
}

/** Everything that request handlers share. */
export interface Core {
  readonly resources: ResourceTable;
  readonly operations: Operations;
  readonly throttle: Throttle;
  readonly access: AccessCheck;
  readonly tokens: TokenService;
  readonly providers: readonly ResourceProvider[];
  readonly subscriptions: readonly Subscription[];
  readonly context: ProviderContext;
  /** Resources on one page of a list. */
  readonly pageSize: number;
  /** Eventual consistency of lists: what a list does not show yet (or shows no more). */
  readonly hiddenFromLists: (resource: Resource) => boolean;
}

/** One authenticated request, and what is learnt about it for observers. */
export interface Call {
  readonly request: ArmRequest;
  readonly principalId: string;
  /** Empty for routes that need none. */
  readonly apiVersion: string;
  readonly trace: { action?: string; scope?: string; linkedActions: string[] };
}

/** Remembers and checks the one action that a call needs. Throws 403. */
export function demandAccess(
  core: Core,
  call: Call,
  wanted: { action: string; scope: string },
): void {
  call.trace.action = wanted.action;
  call.trace.scope = wanted.scope;
  core.access.demand(call.principalId, wanted.action, wanted.scope);
}

/** The type of these segments. Types with `privateLink` have their connections as a type below. */
export function findType(
  core: Core,
  namespace: string,
  types: readonly string[],
): RegisteredType | undefined {
  const provider = core.providers.find(
    (item) => item.namespace.toLowerCase() === namespace.toLowerCase(),
  );
  if (provider === undefined) return undefined;
  const find = (segments: readonly string[]): ResourceType | undefined =>
    provider.types.find(({ type }) => type.toLowerCase() === segments.join("/").toLowerCase());
  const parent = isConnection(types) ? find(types.slice(0, -1)) : undefined;
  const connection =
    parent?.privateLink === undefined
      ? undefined
      : privateEndpointConnectionType(parent.type, parent.apiVersions);
  const definition = find(types) ?? connection;
  if (definition === undefined) return undefined;
  return { provider, definition, fullType: `${provider.namespace}/${definition.type}` };
}

function isConnection(types: readonly string[]): boolean {
  return types.at(-1)?.toLowerCase() === "privateendpointconnections";
}

export function typeOfResource(core: Core, id: ResourceId): RegisteredType | undefined {
  return findType(core, id.namespace, id.types);
}

export function groupIdOf(where: { subscriptionId: string; resourceGroup?: string }): string {
  return `/subscriptions/${where.subscriptionId}/resourceGroups/${where.resourceGroup ?? ""}`;
}
