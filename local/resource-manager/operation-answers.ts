import { ArmError } from "./arm-error.ts";
import type { ArmRequest, ArmResponse } from "./arm-message.ts";
import type { Call, Core } from "./core.ts";
import type { JsonObject } from "./json.ts";
import type { Operation } from "./operations.ts";
import type { Work } from "./provider.ts";
import { renderResource } from "./resource-rendering.ts";

/** Headers that tell the client where to poll. */
export function pollingHeaders(
  core: Core,
  request: ArmRequest,
  accepted: {
    operationId: string;
    style: Work["style"];
    subscriptionId: string;
    namespace: string;
    location: string;
    apiVersion: string;
  },
): Readonly<Record<string, string>> {
  const { operationId, style, subscriptionId, namespace, location, apiVersion } = accepted;
  const base = `${request.origin}/subscriptions/${subscriptionId}/providers/${namespace}/locations/${location}`;
  const query = `?api-version=${apiVersion}`;
  const status = { "azure-asyncoperation": `${base}/operations/${operationId}${query}` };
  const result = { location: `${base}/operationResults/${operationId}${query}` };
  const retry = { "retry-after": String(core.operations.timing.retryAfterSeconds) };
  if (style === "azureAsyncOperation") return { ...status, ...retry };
  if (style === "location") return { ...result, ...retry };
  return { ...status, ...result, ...retry };
}

/** Answers a poll: the status document, or the result that Location promises. */
export function answerPoll(
  core: Core,
  call: Call,
  poll: { operationId: string; form: "status" | "result" },
): ArmResponse {
  const operation = core.operations.poll(poll.operationId);
  if (operation === undefined)
    throw new ArmError(
      404,
      "NotFound",
      `The entity was not found: operation '${poll.operationId}'.`,
    );
  const retry = { "retry-after": String(core.operations.timing.retryAfterSeconds) };
  if (poll.form === "status") {
    const headers = operation.status === "InProgress" ? retry : {};
    return { status: 200, body: statusDocument(operation), headers };
  }
  if (operation.status === "InProgress") {
    const location = `${call.request.origin}${call.request.path}?api-version=${call.apiVersion}`;
    return { status: 202, headers: { ...retry, location } };
  }
  return resultOf(core, operation);
}

function statusDocument(operation: Operation): JsonObject {
  return {
    name: operation.id,
    status: operation.status,
    startTime: operation.startTime,
    ...(operation.endTime === undefined ? {} : { endTime: operation.endTime }),
    ...(operation.error === undefined ? {} : { error: operation.error.body }),
    ...(operation.output === undefined ? {} : { properties: { output: operation.output } }),
  };
}

function resultOf(core: Core, operation: Operation): ArmResponse {
  if (operation.error !== undefined)
    return { status: operation.error.status, body: { error: operation.error.body } };
  if (operation.method === "DELETE") return { status: 200 };
  if (operation.method === "POST")
    return operation.output === undefined
      ? { status: 200 }
      : { status: 200, body: operation.output };
  const resource = core.resources.get(operation.resourceId);
  if (resource === undefined) return { status: 204 };
  return { status: 200, body: renderResource(core, resource) };
}
