/**
 * The simulated Azure Resource Manager: a program that answers `https://management.azure.com` on
 * this machine. It holds *resources* (one table), *operations* (work that goes on) and role
 * assignments (resources too); *providers* know the types. Its state is one file; whatever a
 * client was told is in it before the answer leaves.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import type { ListenOptions, Listener } from "../identity/http-listener.ts";
import type { Principals } from "../identity/principals.ts";
import type { TokenService } from "../identity/token-service.ts";
import type { RequestObserver } from "./arm-message.ts";
import { AccessCheck, assignmentType, findRole } from "./authorization/access-check.ts";
import { principalTypeOf, storeAssignment } from "./authorization/requests.ts";
import { builtInRoles } from "./authorization/role-definitions.ts";
import { groupIdOf, typeOfResource, type Core, type Subscription } from "./core.ts";
import { Enforcement } from "./enforcement.ts";
import { FrontDoor } from "./front-door.ts";
import { startHttpFront } from "./http-front.ts";
import type { JsonValue } from "./json.ts";
import { Operations, operationSchema, type Operation, type OperationTiming } from "./operations.ts";
import type { PrivateLinkTarget, ProviderContext, Resource, ResourceProvider } from "./provider.ts";
import { parseResourceId } from "./resource-id.ts";
import { withProvisioningState } from "./resource-rendering.ts";
import { ResourceTable, resourceSchema } from "./resource-table.ts";
import { emptyGroup } from "./resources/group-deletion.ts";
import { groupType } from "./resources/group-requests.ts";
import { defaultLocations } from "./resources/locations.ts";
import { StateFile } from "./state-file.ts";
import { azureGeneralLimits, Throttle, type GeneralLimits } from "./throttling.ts";

const defaultTiming: OperationTiming = {
  minimumPolls: 2,
  operationLatencyMs: 20,
  retryAfterSeconds: 1,
};
const defaultPageSize = 50;

const stateSchema = z.object({
  resources: z.array(resourceSchema),
  operations: z.array(operationSchema),
});

export interface ResourceManagerOptions {
  /** `resource-manager.json` is kept in it. */
  readonly stateDirectory: string;
  readonly listen: ListenOptions;
  readonly tokens: TokenService;
  readonly principals: Principals;
  readonly subscriptions: readonly Subscription[];
  readonly providers: readonly ResourceProvider[];
  readonly locations?: readonly string[];
  readonly timing?: Partial<OperationTiming>;
  readonly pageSize?: number;
  readonly generalLimits?: GeneralLimits;
  /**
   * Awaited after changes of the table, before the next answer leaves: who reads that a resource is
   * there must find it in force in the data planes.
   */
  readonly enforce?: (context: ProviderContext) => Promise<void>;
  readonly hiddenFromLists?: (resource: Resource) => boolean;
  readonly now?: () => Date;
}

export interface ResourceManager extends AsyncDisposable {
  /** Value for the SDK clients' `endpoint` option. */
  readonly endpoint: string;
  readonly resources: ResourceTable;
  readonly operations: Operations;
  readonly throttle: Throttle;
  readonly context: ProviderContext;
  /** Calls the observer after each request; returns the function that ends it. */
  onRequest(observer: RequestObserver): () => void;
  /** Creates a group unless it exists. */
  seedGroup(group: {
    subscriptionId: string;
    name: string;
    location: string;
    tags?: Record<string, string>;
  }): string;
  /** Gives a role (name or GUID, built-in or stored) to a principal at a scope. Idempotent. */
  assignRole(assignment: { principalId: string; role: string; scope: string }): void;
}

/** Loads the state, resumes unfinished operations and serves requests. */
export async function startResourceManager(
  options: ResourceManagerOptions,
): Promise<ResourceManager> {
  const core = buildCore(options);
  const { file } = core;
  const stored = file.read();
  if (stored !== undefined) {
    const state = stateSchema.parse(stored);
    core.resources.load(state.resources);
    core.operations.load(state.operations);
  }
  for (const provider of options.providers) await provider.start?.(core.context);
  core.operations.resume();
  const door = new FrontDoor(core);
  const listener = await startHttpFront({
    ...options.listen,
    handle: (request) => door.handle(request),
    beforeAnswer: async (isWrite) => {
      if (isWrite) file.flush();
      await core.enforcement.settled();
    },
  });
  return {
    endpoint: listener.origin,
    resources: core.resources,
    operations: core.operations,
    throttle: core.throttle,
    context: core.context,
    onRequest: (observer) => door.observe(observer),
    seedGroup: (group) => seedGroup(core, group),
    assignRole: (assignment) => assignRole(core, assignment),
    [Symbol.asyncDispose]: () => stop(core, listener),
  };
}

type RunningCore = Core & {
  readonly file: StateFile;
  readonly enforcement: Enforcement;
};

function buildCore(options: ResourceManagerOptions): RunningCore {
  const now = options.now ?? (() => new Date());
  const file: StateFile = new StateFile(
    join(options.stateDirectory, "resource-manager.json"),
    (): JsonValue => ({
      resources: resources.toJson(),
      operations: operations.toJson(),
    }),
  );
  const enforcement = new Enforcement(async () => options.enforce?.(context));
  const resources = new ResourceTable({
    changed: () => {
      enforcement.noteChange();
      file.changed();
    },
    deleted: (resource) => removeSystemPrincipal(options.principals, resource),
  });
  const operations: Operations = new Operations({
    timing: { ...defaultTiming, ...options.timing },
    now,
    changed: () => file.changed(),
    run: (operation, signal) => runWork(core, operation, signal),
    settle: (operation) => settle(core, operation),
  });
  const context: ProviderContext = {
    resources,
    principals: options.principals,
    tenantId: options.tokens.tenantId,
    now,
    newGuid: () => randomUUID(),
    locations: options.locations ?? defaultLocations,
    isBusy: (id) => operations.runningOn(id) !== undefined,
    privateLinkOf: (fullType) => privateLinkOf(options.providers, fullType),
  };
  const core: RunningCore = {
    file,
    enforcement,
    resources,
    operations,
    context,
    throttle: new Throttle(now, options.generalLimits ?? azureGeneralLimits),
    access: new AccessCheck(resources),
    tokens: options.tokens,
    providers: options.providers,
    subscriptions: options.subscriptions,
    pageSize: options.pageSize ?? defaultPageSize,
    hiddenFromLists: options.hiddenFromLists ?? (() => false),
  };
  return core;
}

async function runWork(
  core: Core,
  operation: Operation,
  signal: AbortSignal,
): Promise<JsonValue | undefined> {
  if (operation.workName === "deleteGroup") {
    await emptyGroup(core, operation, signal);
    return undefined;
  }
  const parsed = parseResourceId(operation.resourceId);
  const type = parsed === undefined ? undefined : typeOfResource(core, parsed);
  const runner = type?.definition.work?.[operation.workName];
  if (runner === undefined)
    throw new Error(`no work '${operation.workName}' for ${operation.resourceId}`);
  const output = await runner({
    ...core.context,
    id: operation.resourceId,
    operationId: operation.id,
    input: operation.input,
    current: () => core.resources.get(operation.resourceId),
    signal,
  });
  return output ?? undefined;
}

function settle(core: Core, operation: Operation): void {
  const current = core.resources.get(operation.resourceId);
  if (current === undefined) return;
  if (operation.method === "DELETE" && operation.status === "Succeeded") {
    core.resources.delete(current.id);
    return;
  }
  if (!operation.setsState) return;
  const parsed = parseResourceId(current.id);
  const type = parsed === undefined ? undefined : typeOfResource(core, parsed);
  if (type?.definition.hasProvisioningState === false) return;
  core.resources.put(current.id, { body: withProvisioningState(current.body, operation.status) });
}

function privateLinkOf(
  providers: readonly ResourceProvider[],
  fullType: string,
): PrivateLinkTarget | undefined {
  const wanted = fullType.toLowerCase();
  for (const { namespace, types } of providers)
    for (const { type, privateLink } of types)
      if (`${namespace}/${type}`.toLowerCase() === wanted) return privateLink;
  return undefined;
}

function removeSystemPrincipal(principals: Principals, resource: Resource): void {
  const principal = principals.byResourceId(resource.id);
  if (principal !== undefined) principals.remove(principal.objectId);
}

function seedGroup(core: RunningCore, group: Parameters<ResourceManager["seedGroup"]>[0]): string {
  const id = groupIdOf({ subscriptionId: group.subscriptionId, resourceGroup: group.name });
  if (core.resources.get(id)?.type === groupType) return id;
  const body = { location: group.location, tags: group.tags ?? {} };
  core.resources.put(id, { body: withProvisioningState(body, "Succeeded") });
  core.file.flush();
  return id;
}

function assignRole(
  core: RunningCore,
  assignment: Parameters<ResourceManager["assignRole"]>[0],
): void {
  const { principalId, scope } = assignment;
  const named = builtInRoles.find(({ roleName }) => roleName === assignment.role)?.name;
  const roleDefinitionId = named ?? assignment.role;
  if (findRole(core.resources, roleDefinitionId) === undefined)
    throw new Error(`there is no role '${assignment.role}'`);
  const principal = core.context.principals.byObjectId(principalId);
  if (principal === undefined) throw new Error(`there is no principal '${principalId}'`);
  const given = core.resources.list(assignmentType).some(({ body }) => {
    const text = JSON.stringify(body).toLowerCase();
    return [principalId, roleDefinitionId, `"scope":"${scope}"`].every((part) =>
      text.includes(part.toLowerCase()),
    );
  });
  if (given) return;
  const root = scope === "/" ? "" : scope;
  const id = `${root}/providers/${assignmentType}/${randomUUID()}`;
  const principalType = principalTypeOf(principal.kind);
  storeAssignment(core.resources, { id, scope, principalId, principalType, roleDefinitionId });
  core.file.flush();
}

async function stop(core: RunningCore, listener: Listener): Promise<void> {
  await listener[Symbol.asyncDispose]();
  await core.operations[Symbol.asyncDispose]();
  for (const provider of core.providers) await provider.stop?.();
  core.file.flush();
}
