/**
 * Writes to resources. The order of the checks is Azure's: access, group, parent, name, body,
 * location, preconditions, running operations; only then the provider decides.
 */
import { ArmError } from "./arm-error.ts";
import type { ArmResponse } from "./arm-message.ts";
import { demandAccess, type Call, type Core, type RegisteredType } from "./core.ts";
import { isJsonObject, mergePatch, stringAt, type JsonObject } from "./json.ts";
import { identityLinkedAccess, resolveIdentity } from "./managed-identities.ts";
import { pollingHeaders } from "./operation-answers.ts";
import type {
  AccessRequest,
  LinkedAccess,
  Resource,
  ResourceContent,
  Work,
  WriteOutcome,
} from "./provider.ts";
import {
  bodyObject,
  checkGroup,
  checkName,
  checkPreconditions,
  checkTags,
  checkTrackedBody,
  notFound,
} from "./request-checks.ts";
import type { ResourceId } from "./resource-id.ts";
import { renderResource, withProvisioningState } from "./resource-rendering.ts";
import { actionOf, checkParent, requestContext, type Target } from "./resource-target.ts";

type ResourceTarget = Extract<Target, { kind: "resource" }>;
type BelowTarget = Extract<Target, { kind: "below" }>;

interface Subject {
  readonly core: Core;
  readonly call: Call;
  readonly id: ResourceId;
  readonly type: RegisteredType;
}

export async function answerPut(
  core: Core,
  call: Call,
  target: ResourceTarget,
): Promise<ArmResponse> {
  const { id, type } = target;
  const subject = { core, call, id, type };
  const context = requestContext(core, call, id);
  const existing = core.resources.get(context.id);
  const access = accessRequest(
    subject,
    existing,
    isJsonObject(call.request.body) ? call.request.body : {},
  );
  checkAccess(subject, access);
  checkGroup(core, id, true);
  checkParent(core, call, id);
  const put = allowed(type.definition.put?.bind(type.definition), subject);
  checkName(type, id.names.at(-1) ?? "");
  const sent = withoutEnvelope(bodyObject(call));
  checkBodyNames(sent.envelope, id);
  const checked = checkTrackedBody(core, type, { body: sent.body, existing, id });
  checkPreconditions(call, existing);
  checkBusy(subject, access);
  const body =
    type.definition.identity === true
      ? resolveIdentity(core.context, { id: context.id, existing }, checked)
      : checked;
  const outcome = await put({ ...context, body, existing });
  return storeWrite(subject, outcome, existing);
}

export async function answerPatch(
  core: Core,
  call: Call,
  target: ResourceTarget,
): Promise<ArmResponse> {
  const { id, type } = target;
  const subject = { core, call, id, type };
  const context = requestContext(core, call, id);
  const found = core.resources.get(context.id);
  const access = accessRequest(
    subject,
    found,
    isJsonObject(call.request.body) ? call.request.body : {},
  );
  checkAccess(subject, access);
  checkGroup(core, id, true);
  if (found === undefined) throw notFound(id);
  const sent = withoutEnvelope(bodyObject(call)).body;
  checkTags(sent);
  checkPreconditions(call, found);
  checkBusy(subject, access);
  const body =
    type.definition.identity === true && isJsonObject(sent["identity"])
      ? resolveIdentity(core.context, { id: context.id, existing: found }, sent)
      : sent;
  const patch = type.definition.patch?.bind(type.definition) ?? tagsOnly(type);
  return storeWrite(
    subject,
    await allowed(patch, subject)({ ...context, body, existing: found }),
    found,
  );
}

export async function answerDelete(
  core: Core,
  call: Call,
  target: ResourceTarget,
): Promise<ArmResponse> {
  const { id, type } = target;
  const subject = { core, call, id, type };
  const context = requestContext(core, call, id);
  const existing = core.resources.get(context.id);
  const access = accessRequest(subject, existing, {});
  checkAccess(subject, access);
  checkGroup(core, id, true);
  const remove = allowed(type.definition.remove?.bind(type.definition), subject);
  if (existing === undefined) return { status: 204 };
  checkPreconditions(call, existing);
  checkBusy(subject, access);
  const outcome = await remove({ ...context, existing });
  if (outcome.kind === "deleted") {
    core.resources.delete(existing.id);
    return { status: 200 };
  }
  const state = outcome.work.provisioningState ?? "Deleting";
  if (type.definition.hasProvisioningState !== false)
    core.resources.put(existing.id, { body: withProvisioningState(existing.body, state) });
  return accept(subject, outcome.work, { status: 202 });
}

export async function answerAction(
  core: Core,
  call: Call,
  target: BelowTarget,
): Promise<ArmResponse> {
  const { id, type, name } = target;
  const subject = { core, call, id, type };
  const [action, handler] =
    Object.entries(type.definition.actions ?? {}).find(
      ([key]) => key.toLowerCase() === name.toLowerCase(),
    ) ?? [];
  if (action === undefined || handler === undefined)
    throw new ArmError(
      404,
      "InvalidResourceType",
      `The action '${name}' could not be found on '${type.fullType}' for api version '${call.apiVersion}'.`,
    );
  const context = requestContext(core, call, id);
  const existing = core.resources.get(context.id);
  const body = call.request.body === undefined ? {} : bodyObject(call);
  const access = accessRequest(subject, existing, body, action);
  checkAccess(subject, access);
  checkGroup(core, id, true);
  if (existing === undefined) throw notFound(id);
  if (handler.exclusive !== false) checkBusy(subject, access);
  const outcome = await handler.handle({ ...context, body, existing });
  if (outcome.kind === "result")
    return {
      status: outcome.status,
      ...(outcome.body === undefined ? {} : { body: outcome.body }),
    };
  const { provisioningState } = outcome.work;
  if (provisioningState !== undefined)
    core.resources.put(existing.id, {
      body: withProvisioningState(existing.body, provisioningState),
    });
  return accept(subject, outcome.work, { status: outcome.work.initialStatus ?? 202 });
}

function accessRequest(
  subject: Subject,
  existing: Resource | undefined,
  body: JsonObject,
  action?: string,
): AccessRequest {
  return {
    method: subject.call.request.method,
    ...(action === undefined ? {} : { action }),
    id: requestContext(subject.core, subject.call, subject.id).id,
    body,
    existing,
    resources: subject.core.resources,
  };
}

/** Action, linked actions, then the buckets of the type. Throws 403 and 429. */
function checkAccess({ core, call, type }: Subject, access: AccessRequest): void {
  const action = actionOf(type, access.method, access.action);
  demandAccess(core, call, { action, scope: access.id });
  const linked: LinkedAccess[] = [...(type.definition.linkedAccess?.(access) ?? [])];
  if (type.definition.identity === true)
    linked.push(...identityLinkedAccess(access.body, access.existing));
  call.trace.linkedActions.push(...linked.map((item) => item.action));
  core.access.demandLinked(call.principalId, { action, scope: access.id }, linked);
  core.throttle.take(type.definition.buckets?.(access) ?? []);
}

function checkBusy({ core, type }: Subject, access: AccessRequest): void {
  if (access.existing === undefined) return;
  const running = core.operations.runningOn(access.id);
  if (running === undefined) return;
  const onBusy = type.definition.onBusy?.bind(type.definition);
  const refusal =
    onBusy === undefined
      ? new ArmError(
          409,
          "AnotherOperationInProgress",
          `Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: ${running.id}.`,
        )
      : onBusy(access);
  if (refusal !== undefined) throw refusal;
}

/** The handler of the method, or 405. */
function allowed<Handler>(handler: Handler | undefined, { call, type }: Subject): Handler {
  if (handler !== undefined) return handler;
  throw new ArmError(
    405,
    "MethodNotAllowed",
    `The method '${call.request.method}' is not supported for resource type '${type.fullType}'.`,
  );
}

/** Tracked resources take a change of their tags even when they take no other. */
function tagsOnly(
  type: RegisteredType,
): ((request: { body: JsonObject; existing: Resource }) => WriteOutcome) | undefined {
  if (!type.definition.tracked) return undefined;
  return ({ body, existing }) => {
    const other = Object.keys(body).find((key) => key !== "tags");
    if (other !== undefined)
      throw new ArmError(
        400,
        "InvalidRequestContent",
        `The property '${other}' cannot be changed by PATCH on '${type.fullType}'.`,
        { target: other },
      );
    return { kind: "stored", content: { body: mergePatch(existing.body, body) } };
  };
}

function storeWrite(
  subject: Subject,
  outcome: WriteOutcome,
  existing: Resource | undefined,
): ArmResponse {
  const { core, type } = subject;
  const { id } = requestContext(core, subject.call, subject.id);
  const put = (content: ResourceContent, state: string): Resource =>
    core.resources.put(id, {
      ...content,
      body:
        type.definition.hasProvisioningState === false
          ? content.body
          : withProvisioningState(content.body, state),
    });
  const status = existing === undefined ? 201 : 200;
  if (outcome.kind === "stored") {
    const stored = put(outcome.content, "Succeeded");
    const etag = type.definition.etag === true ? { etag: stored.etag } : {};
    const first = existing === undefined ? (type.definition.createdStatus ?? status) : status;
    return { status: first, body: renderResource(core, stored), headers: etag };
  }
  const { work, content } = outcome;
  const stored = put(
    content,
    work.provisioningState ?? (existing === undefined ? "Creating" : "Updating"),
  );
  if (work.style === "location")
    return accept(subject, work, { status: work.initialStatus ?? 202 });
  const body = renderResource(core, stored);
  return accept(subject, work, { status: work.initialStatus ?? status, body });
}

/** Starts the operation and says where to poll it. */
function accept({ core, call, id, type }: Subject, work: Work, first: ArmResponse): ArmResponse {
  const context = requestContext(core, call, id);
  const { method } = call.request;
  const resource = core.resources.get(context.id);
  const location = resource === undefined ? undefined : stringAt(resource.body, "location");
  const operationId = core.context.newGuid();
  const namespace = type.provider.namespace;
  const headers = pollingHeaders(core, call.request, {
    operationId,
    style: work.style,
    subscriptionId: id.subscriptionId,
    namespace,
    location: location ?? "global",
    apiVersion: call.apiVersion,
  });
  core.operations.start({
    id: operationId,
    resourceId: context.id,
    namespace,
    method,
    workName: work.name,
    input: work.input ?? {},
    setsState: method !== "POST" || work.provisioningState !== undefined,
  });
  return { ...first, headers: { ...first.headers, ...headers } };
}

/** A body may repeat id, name, type and etag of its resource; they are not stored. */
function withoutEnvelope(sent: JsonObject): { body: JsonObject; envelope: JsonObject } {
  const { id = null, name = null, type = null, etag: _, ...body } = sent;
  return { body, envelope: { id, name, type } };
}

function checkBodyNames(envelope: JsonObject, id: ResourceId): void {
  const name = stringAt(envelope, "name");
  const expected = id.names.at(-1) ?? "";
  const last = name?.slice(name.lastIndexOf("/") + 1);
  if (last === undefined || last.toLowerCase() === expected.toLowerCase()) return;
  throw new ArmError(
    400,
    "InvalidRequestContent",
    `The request content was invalid: the resource name '${last}' in the request content does not match the resource name '${expected}' in the request URL.`,
    { target: "name" },
  );
}
