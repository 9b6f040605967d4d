/**
 * The contract between the Resource Manager core and its providers.
 *
 * A *provider* (`Microsoft.Network`) is a set of *resource types*. The core does what Azure's
 * front door does for every type: token, role assignments, api-version, subscription, group and
 * names, JSON, immutable location, ETag preconditions, managed identities in a body, throttling,
 * paging, operations, storage. A type says what a body must hold and what happens with it.
 *
 * A write is either *stored* (finished when answered) or *accepted*: the resource is visible at
 * once with its provisioning state, and a named piece of *work* goes on. Work is persisted by its
 * name and its JSON input and is run again after a restart: it must be safe to repeat.
 *
 * Handlers refuse by throwing ArmError with Azure's status and code.
 */
import type { ArmError } from "./arm-error.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import type { ResourceId } from "./resource-id.ts";
import type { Principals } from "../identity/principals.ts";

/** A resource as it is stored. */
export interface Resource {
  /** As created, case preserved. */
  readonly id: string;
  readonly name: string;
  /** Full type, e.g. `Microsoft.Compute/disks`. */
  readonly type: string;
  /** Everything that a GET shows beside id, name, type and etag: location, tags, sku, identity, zones, properties... */
  readonly body: JsonObject;
  /** What the simulator keeps for itself and never shows, e.g. write-only properties. */
  readonly internal: JsonObject;
  /** Opaque, new at each write. Shown only by types with `etag: true`. */
  readonly etag: string;
}

/** The table of all resources. Lookups ignore case. Every change is persisted. */
export interface ResourceStore {
  get(id: string): Resource | undefined;
  /** Resources of one full type, in creation order; `under` restricts to ids that begin with it. */
  list(type: string, under?: string): readonly Resource[];
  /** Direct and indirect children: every resource whose id lies below `id`. */
  descendants(id: string): readonly Resource[];
  /** Creates or replaces. Keeps the case of an existing id. `internal` stays as it is when absent. */
  put(id: string, content: { body: JsonObject; internal?: JsonObject }): Resource;
  /** Deletes the resource and its descendants; no error when absent. */
  delete(id: string): void;
}

/** What providers get from the core. */
export interface ProviderContext {
  readonly resources: ResourceStore;
  readonly principals: Principals;
  readonly tenantId: string;
  /** Wall clock; injected so that tests can move it. */
  readonly now: () => Date;
  /** A fresh GUID. */
  readonly newGuid: () => string;
  /** Locations that exist in this cloud, e.g. `westeurope`. */
  readonly locations: readonly string[];
  /** True while an operation on this resource runs. */
  readonly isBusy: (id: string) => boolean;
  /** How private endpoints may point at a full type; undefined: they may not. */
  readonly privateLinkOf: (fullType: string) => PrivateLinkTarget | undefined;
}

export interface RequestContext extends ProviderContext {
  /** Id of the resource addressed, in the case of the existing one, else of the request. */
  readonly id: string;
  readonly parsedId: ResourceId;
  readonly apiVersion: string;
  /** Query parameters, names in lower case without `$` untouched: `$expand`, `forcedeletion`. */
  readonly query: ReadonlyMap<string, string>;
  /** Object id of the caller's principal. */
  readonly principalId: string;
}

export interface PutRequest extends RequestContext {
  /** Parsed body: an object; `identity` already resolved for types with `identity: true`. */
  readonly body: JsonObject;
  readonly existing: Resource | undefined;
}

export interface PatchRequest extends RequestContext {
  /** The patch as sent. `mergePatch` of json.ts applies it. */
  readonly body: JsonObject;
  readonly existing: Resource;
}

interface DeleteRequest extends RequestContext {
  readonly existing: Resource;
}

export interface ActionRequest extends RequestContext {
  /** Empty object when the request has no body. */
  readonly body: JsonObject;
  readonly existing: Resource;
}

/** A piece of work of an accepted operation: run by `work[name]` of the resource's type. */
export interface Work {
  readonly name: string;
  /** Kept in the state file: no secrets. */
  readonly input?: JsonObject;
  /**
   * Headers that tell the client where to poll. `both` is what Compute does for POST actions:
   * the client polls Azure-AsyncOperation and fetches its result from Location.
   */
  readonly style: "azureAsyncOperation" | "location" | "both";
  /** Status of the first answer. Default: 201 create, 200 update, 202 delete, POST and `location`. */
  readonly initialStatus?: 200 | 201 | 202;
  /** `provisioningState` while it runs. Default: Creating, Updating or Deleting. */
  readonly provisioningState?: string;
}

/** What is to be stored for a PUT or PATCH. The core sets `properties.provisioningState`. */
export interface ResourceContent {
  readonly body: JsonObject;
  /** Kept from before when absent. */
  readonly internal?: JsonObject;
}

export type WriteOutcome =
  | { readonly kind: "stored"; readonly content: ResourceContent }
  | { readonly kind: "accepted"; readonly content: ResourceContent; readonly work: Work };

type DeleteOutcome =
  { readonly kind: "deleted" } | { readonly kind: "accepted"; readonly work: Work };

export type ActionOutcome =
  | { readonly kind: "result"; readonly status: 200 | 204; readonly body?: JsonValue }
  | { readonly kind: "accepted"; readonly work: Work };

/** What running work knows. */
export interface WorkContext extends ProviderContext {
  readonly id: string;
  readonly operationId: string;
  readonly input: JsonObject;
  /** The resource now; undefined when it is gone. */
  readonly current: () => Resource | undefined;
  /** Aborted when the simulator stops; the work is run again after the next start. */
  readonly signal: AbortSignal;
}

/**
 * Does the work; may take as long as it takes. May write the resource through `resources.put`.
 * Afterwards the core sets provisioningState to Succeeded (PUT, PATCH, POST) or removes the
 * resource with its descendants (DELETE). A thrown ArmError makes the operation and the
 * provisioning state Failed. The value returned becomes `properties.output` of the status
 * document and the body of the Location result (POST).
 */
export type WorkRunner = (context: WorkContext) => Promise<JsonValue | void>;

/** The caller also needs `action` on `id`, e.g. `Microsoft.Network/virtualNetworks/subnets/join/action`. */
export interface LinkedAccess {
  readonly id: string;
  readonly action: string;
}

/** One token out of a bucket; an empty bucket answers 429. */
export interface BucketUse {
  /** Identifies the bucket, e.g. `vm-writes:/subscriptions/.../vm1` (lower case). */
  readonly key: string;
  readonly capacity: number;
  readonly refillPerMinute: number;
  /** Code and text of the refusal. Default: `TooManyRequests` with Azure's general text. */
  readonly refusal?: { readonly code: string; readonly message: string };
}

export type Method = "GET" | "PUT" | "PATCH" | "POST" | "DELETE";

/** Bodies seen by these are raw: null and wrong types are possible. */
export interface AccessRequest {
  readonly method: Method;
  /** Last POST action, e.g. `deallocate`. */
  readonly action?: string;
  readonly id: string;
  readonly body: JsonObject;
  readonly existing: Resource | undefined;
  readonly resources: ResourceStore;
}

/** A read below a resource that is no resource itself, e.g. `virtualMachines/{vm}/instanceView`. */
interface ResourceView {
  /** RBAC action after the type, e.g. `instanceView/read`. */
  readonly action: string;
  handle(request: ActionRequest): JsonValue | Promise<JsonValue>;
}

export interface ActionHandler {
  handle(request: ActionRequest): ActionOutcome | Promise<ActionOutcome>;
  /** Default true: refused while another operation on the resource runs. */
  readonly exclusive?: boolean;
}

export interface ResourceType {
  /** Relative to the namespace: `disks`, `virtualNetworks/subnets`. */
  readonly type: string;
  /** Accepted api-versions. */
  readonly apiVersions: readonly string[];
  /** Tracked resources need a location and may have tags; the others have neither. */
  readonly tracked: boolean;
  /** True: answers carry `etag`, If-Match and If-None-Match are honoured. */
  readonly etag?: boolean;
  /** True: the body may have `identity`; the core creates or removes the system-assigned principal. */
  readonly identity?: boolean;
  /** Default: `/^[\w.()-]{1,80}$/` and not ending in a dot. */
  readonly namePattern?: RegExp;
  /** Singleton children such as `blobServices/default` exist with their parent: body of GET. */
  implicit?(request: RequestContext): JsonObject | undefined;
  /** Answer to a PUT that creates at once. Default 201; some types answer 200. */
  readonly createdStatus?: 200 | 201;
  /** True (default): `provisioningState` is kept in `properties` by the core. */
  readonly hasProvisioningState?: boolean;

  /** Absent: 405 for the method. */
  put?(request: PutRequest): WriteOutcome | Promise<WriteOutcome>;
  /** Absent: 405, except that tracked types always take a patch of `tags`. */
  patch?(request: PatchRequest): WriteOutcome | Promise<WriteOutcome>;
  /** Absent: 405. Only called when the resource exists (else the core answers 204). */
  remove?(request: DeleteRequest): DeleteOutcome | Promise<DeleteOutcome>;
  /** Body that a GET or a list shows; default: `resource.body`. `expand` is `$expand`, lists pass undefined. */
  show?(resource: Resource, context: ProviderContext, expand?: string): JsonObject;
  /** By name of the POST action in its Azure spelling: `deallocate`, `beginGetAccess`. */
  readonly actions?: Readonly<Record<string, ActionHandler>>;
  /** By name: `instanceView`. */
  readonly views?: Readonly<Record<string, ResourceView>>;
  /** By `Work.name`. */
  readonly work?: Readonly<Record<string, WorkRunner>>;

  /** What the caller must also be allowed to do, derived from the body. */
  linkedAccess?(request: AccessRequest): readonly LinkedAccess[];
  /** Buckets that this request draws from, beside the general ones of the subscription. */
  buckets?(request: AccessRequest): readonly BucketUse[];
  /**
   * A write while another operation runs on the same resource: the refusal, or undefined to let it
   * in. Default: 409 `AnotherOperationInProgress`.
   */
  onBusy?(request: AccessRequest): ArmError | undefined;
  /** Private link: what `groupIds` a private endpoint may ask for. */
  readonly privateLink?: PrivateLinkTarget;
  /** False: no list below the group / subscription / parent. Default true. */
  readonly listable?: boolean;
}

/**
 * A type that private endpoints can point at. The core gives it the child type
 * `privateEndpointConnections` and shows them in its properties, see private-link.ts.
 */
export interface PrivateLinkTarget {
  readonly groupIds: readonly string[];
  /** Public host names that the endpoint takes over, e.g. `account.blob.core.windows.net`. */
  hostNames?(target: Resource, groupId: string): readonly string[];
  /** Refusal when the target takes no further connection. */
  checkConnection?(target: Resource, resources: ResourceStore): ArmError | undefined;
}

/** A path that addresses no resource: `skus`, `locations/{location}/vmSizes`. GET only. */
interface SubscriptionRoute {
  /** Below `/subscriptions/{id}/providers/{namespace}/`; `{x}` captures a segment. */
  readonly path: string;
  /** RBAC action after the namespace, e.g. `skus/read`. */
  readonly action: string;
  readonly apiVersions: readonly string[];
  handle(request: RouteRequest): JsonValue | Promise<JsonValue>;
}

interface RouteRequest extends ProviderContext {
  readonly subscriptionId: string;
  readonly query: ReadonlyMap<string, string>;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface ResourceProvider {
  readonly namespace: string;
  readonly types: readonly ResourceType[];
  readonly routes?: readonly SubscriptionRoute[];
  /** Called once the state is loaded and before requests are served. */
  start?(context: ProviderContext): void | Promise<void>;
  /** Called when the simulator stops. */
  stop?(): void | Promise<void>;
}
