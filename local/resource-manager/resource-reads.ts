import { ArmError } from "./arm-error.ts";
import type { ArmResponse } from "./arm-message.ts";
import { authorizationFailed } from "./authorization/access-check.ts";
import { demandAccess, type Call, type Core } from "./core.ts";
import { answerPage } from "./listing.ts";
import { checkGroup, notFound } from "./request-checks.ts";
import { formatResourceId } from "./resource-id.ts";
import { renderResource } from "./resource-rendering.ts";
import { actionOf, checkParent, exists, requestContext, type Target } from "./resource-target.ts";

type ResourceTarget = Extract<Target, { kind: "resource" }>;
type BelowTarget = Extract<Target, { kind: "below" }>;
type CollectionTarget = Extract<Target, { kind: "collection" }>;

export function answerGet(core: Core, call: Call, target: ResourceTarget): ArmResponse {
  const { id, type } = target;
  const context = requestContext(core, call, id);
  demandAccess(core, call, { action: actionOf(type, "GET"), scope: context.id });
  checkGroup(core, id, false);
  const resource = core.resources.get(context.id);
  const buckets = type.definition.buckets?.({
    method: "GET",
    id: context.id,
    body: {},
    existing: resource,
    resources: core.resources,
  });
  core.throttle.take(buckets ?? []);
  if (resource !== undefined) {
    const etag = type.definition.etag === true ? { etag: resource.etag } : {};
    const body = renderResource(core, resource, call.request.query.get("$expand"));
    return { status: 200, body, headers: etag };
  }
  const implicit = exists(core, call, id) ? type.definition.implicit?.(context) : undefined;
  if (implicit === undefined) throw notFound(id);
  const name = id.names.at(-1) ?? "";
  return { status: 200, body: { id: context.id, name, type: type.fullType, ...implicit } };
}

export async function answerView(
  core: Core,
  call: Call,
  target: BelowTarget,
): Promise<ArmResponse> {
  const { id, type, name } = target;
  const [, view] =
    Object.entries(type.definition.views ?? {}).find(
      ([key]) => key.toLowerCase() === name.toLowerCase(),
    ) ?? [];
  if (view === undefined)
    throw new ArmError(
      404,
      "InvalidResourceType",
      `The resource type '${name}' could not be found in the namespace '${type.fullType}' for api version '${call.apiVersion}'.`,
    );
  const context = requestContext(core, call, id);
  demandAccess(core, call, { action: `${type.fullType}/${view.action}`, scope: context.id });
  checkGroup(core, id, false);
  const existing = core.resources.get(context.id);
  if (existing === undefined) throw notFound(id);
  return { status: 200, body: await view.handle({ ...context, body: {}, existing }) };
}

/**
 * Lists a collection. A caller who may read only some of the resources gets those; one who may
 * read nothing there is refused.
 */
export function answerList(core: Core, call: Call, target: CollectionTarget): ArmResponse {
  const { type, scope, parent } = target;
  if (type.definition.listable === false)
    throw new ArmError(405, "MethodNotAllowed", `Lists of '${type.fullType}' are not supported.`);
  const action = actionOf(type, "GET");
  const mayReadAll = demandListAccess(core, call, { action, scope });
  if (parent !== undefined) {
    checkGroup(core, parent, false);
    if (!exists(core, call, parent)) throw notFound(parent);
    checkParent(core, call, parent);
  } else checkGroupOfScope(core, scope);
  const resources = core.resources
    .list(type.fullType, parent === undefined ? scope : formatResourceId(parent))
    .filter(({ id }) => mayReadAll || core.access.allows(call.principalId, action, id));
  return answerPage(core, call.request, {
    resources,
    render: (item) => renderResource(core, item),
  });
}

/** True: may read everything in the scope. False: only some of it. Throws 403: nothing. */
export function demandListAccess(
  core: Core,
  call: Call,
  wanted: { action: string; scope: string },
): boolean {
  call.trace.action = wanted.action;
  call.trace.scope = wanted.scope;
  if (core.access.allows(call.principalId, wanted.action, wanted.scope)) return true;
  if (core.access.allowsSomewhereBelow(call.principalId, wanted.action, wanted.scope)) return false;
  throw authorizationFailed(call.principalId, wanted.action, wanted.scope);
}

function checkGroupOfScope(core: Core, scope: string): void {
  const [, subscriptionId, resourceGroup] =
    /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)$/i.exec(scope) ?? [];
  if (subscriptionId === undefined || resourceGroup === undefined) return;
  checkGroup(core, { subscriptionId, resourceGroup, namespace: "", types: [], names: [] }, false);
}
