/**
 * What every request passes: throttle on order, token, path, api-version, subscription, general
 * throttle; then the handler of its route. Writes go one at a time, so that a provider's check
 * and the storing of its outcome are one step; the work behind them runs beside.
 */
import { ArmError } from "./arm-error.ts";
import type { ArmRequest, ArmResponse, RequestObserver } from "./arm-message.ts";
import { authenticate } from "./authentication.ts";
import { answerExtension } from "./authorization/requests.ts";
import { demandAccess, type Call, type Core, type Subscription } from "./core.ts";
import { isJsonObject, stringAt } from "./json.ts";
import { answerPoll } from "./operation-answers.ts";
import { answerGet, answerList, answerView } from "./resource-reads.ts";
import { resolveTarget } from "./resource-target.ts";
import { answerAction, answerDelete, answerPatch, answerPut } from "./resource-writes.ts";
import {
  answerAllResources,
  answerGroup,
  answerGroups,
  answerLocations,
  answerSubscription,
  answerSubscriptions,
} from "./resources/group-requests.ts";
import { parseRoute, type Route } from "./routing.ts";

/** Versions of Microsoft.Resources and Microsoft.Authorization, which speak many. */
const platformVersions: Readonly<Record<string, readonly string[]>> = {
  resources: [
    "2019-10-01",
    "2020-01-01",
    "2020-06-01",
    "2021-01-01",
    "2021-04-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-03-01",
    "2024-11-01",
    "2025-04-01",
  ],
  authorization: ["2015-07-01", "2018-01-01-preview", "2022-04-01"],
};

export class FrontDoor {
  readonly #core: Core;
  readonly #observers = new Set<RequestObserver>();
  #lastWrite: Promise<unknown> = Promise.resolve();

  constructor(core: Core) {
    this.#core = core;
  }

  /** Calls `observer` after each request; returns the function that ends it. */
  observe(observer: RequestObserver): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Answers a request; refusals are answers, only defects of the simulator become 500. */
  async handle(request: ArmRequest): Promise<ArmResponse> {
    const trace: Call["trace"] = { linkedActions: [] };
    const seen: { principalId?: string } = {};
    let response: ArmResponse;
    try {
      response = await this.#answer(request, trace, seen);
    } catch (error) {
      response = refusal(error);
    }
    this.#report(request, response, { trace, principalId: seen.principalId });
    return response;
  }

  async #answer(
    request: ArmRequest,
    trace: Call["trace"],
    seen: { principalId?: string },
  ): Promise<ArmResponse> {
    const core = this.#core;
    core.throttle.takeOrdered();
    const now = core.context.now();
    const principalId = await authenticate(request.headers["authorization"], core.tokens, now);
    seen.principalId = principalId;
    const route = parseRoute(request.path);
    if (route === undefined) throw noRoute(request);
    const apiVersion = demandApiVersion(request, route);
    const call: Call = { request, principalId, apiVersion, trace };
    const subscription = findSubscription(core, route);
    const limits =
      subscription === undefined || route.kind === "operation"
        ? {}
        : core.throttle.takeGeneral(request.method, {
            subscriptionId: subscription.subscriptionId,
            principalId,
          });
    const response =
      request.method === "GET"
        ? await dispatch(core, call, route)
        : await this.#oneAtATime(() => dispatch(core, call, route));
    return { ...response, headers: { ...limits, ...response.headers } };
  }

  async #oneAtATime<Result>(write: () => Promise<Result>): Promise<Result> {
    const run = this.#lastWrite.then(write);
    this.#lastWrite = run.catch(() => undefined);
    return run;
  }

  #report(
    request: ArmRequest,
    response: ArmResponse,
    more: { trace: Call["trace"]; principalId: string | undefined },
  ): void {
    const error = isJsonObject(response.body) ? response.body["error"] : undefined;
    for (const observer of this.#observers)
      observer({
        at: this.#core.context.now(),
        method: request.method,
        path: request.path,
        apiVersion: request.query.get("api-version"),
        action: more.trace.action,
        linkedActions: more.trace.linkedActions,
        scope: more.trace.scope,
        principalId: more.principalId,
        status: response.status,
        errorCode: isJsonObject(error) ? stringAt(error, "code") : undefined,
        requestBody: request.body,
        responseBody: response.body,
      });
  }
}

async function dispatch(core: Core, call: Call, route: Route): Promise<ArmResponse> {
  switch (route.kind) {
    case "subscriptions":
      return readOnly(call, () => answerSubscriptions(core, call));
    case "subscription":
      return readOnly(call, () =>
        answerSubscription(core, call, demandSubscription(core, route.subscriptionId)),
      );
    case "locations":
      return readOnly(call, () => answerLocations(core, call, route.subscriptionId));
    case "groups":
      return readOnly(call, () => answerGroups(core, call, route.subscriptionId));
    case "allResources":
      return readOnly(call, () => answerAllResources(core, call, route));
    case "group":
      return answerGroup(core, call, route);
    case "extension":
      return answerExtension(core, call, route);
    case "operation":
      return readOnly(call, () => answerPoll(core, call, route));
    case "provider":
      return dispatchToProvider(core, call, route);
  }
}

async function dispatchToProvider(
  core: Core,
  call: Call,
  route: Extract<Route, { kind: "provider" }>,
): Promise<ArmResponse> {
  const special = await answerSubscriptionRoute(core, call, route);
  if (special !== undefined) return special;
  const target = resolveTarget(core, call, route);
  const { method } = call.request;
  if (target.kind === "collection") return answerList(core, call, target);
  if (target.kind === "below") {
    if (method === "GET") return answerView(core, call, target);
    if (method === "POST") return answerAction(core, call, target);
    throw noRoute(call.request);
  }
  switch (method) {
    case "GET":
      return answerGet(core, call, target);
    case "PUT":
      return answerPut(core, call, target);
    case "PATCH":
      return answerPatch(core, call, target);
    case "DELETE":
      return answerDelete(core, call, target);
    case "POST":
      throw noRoute(call.request);
  }
}

async function answerSubscriptionRoute(
  core: Core,
  call: Call,
  route: Extract<Route, { kind: "provider" }>,
): Promise<ArmResponse | undefined> {
  if (route.group !== undefined || call.request.method !== "GET") return undefined;
  const provider = core.providers.find(
    (item) => item.namespace.toLowerCase() === route.namespace.toLowerCase(),
  );
  for (const candidate of provider?.routes ?? []) {
    const parameters = matchPath(candidate.path.split("/"), route.segments);
    if (parameters === undefined) continue;
    if (!candidate.apiVersions.includes(call.apiVersion))
      throw badVersion(call.apiVersion, candidate.apiVersions);
    const scope = `/subscriptions/${route.subscriptionId}`;
    demandAccess(core, call, { action: `${provider?.namespace ?? ""}/${candidate.action}`, scope });
    const { subscriptionId } = route;
    const body = await candidate.handle({
      ...core.context,
      subscriptionId,
      query: call.request.query,
      parameters,
    });
    return { status: 200, body };
  }
  return undefined;
}

/** Captured segments, or undefined when the path does not fit the pattern. */
function matchPath(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const captured: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? "";
    if (part.startsWith("{")) captured[part.slice(1, -1)] = segment;
    else if (part.toLowerCase() !== segment.toLowerCase()) return undefined;
  }
  return captured;
}

function demandApiVersion(request: ArmRequest, route: Route): string {
  const apiVersion = request.query.get("api-version") ?? "";
  if (apiVersion === "")
    throw new ArmError(
      400,
      "MissingApiVersionParameter",
      "The api-version query parameter (?api-version=) is required for all requests.",
    );
  if (route.kind === "provider" || route.kind === "operation") return apiVersion;
  const known = platformVersions[route.kind === "extension" ? "authorization" : "resources"] ?? [];
  if (!known.includes(apiVersion)) throw badVersion(apiVersion, known);
  return apiVersion;
}

function badVersion(apiVersion: string, known: readonly string[]): ArmError {
  return new ArmError(
    400,
    "InvalidApiVersionParameter",
    `The api-version '${apiVersion}' is invalid. The supported versions are '${known.join(",")}'.`,
  );
}

function findSubscription(core: Core, route: Route): Subscription | undefined {
  const id = "subscriptionId" in route ? route.subscriptionId : undefined;
  return id === undefined ? undefined : demandSubscription(core, id);
}

function demandSubscription(core: Core, id: string): Subscription {
  const found = core.subscriptions.find(
    ({ subscriptionId }) => subscriptionId.toLowerCase() === id.toLowerCase(),
  );
  if (found !== undefined) return found;
  throw new ArmError(404, "SubscriptionNotFound", `The subscription '${id}' could not be found.`);
}

function readOnly(call: Call, answer: () => ArmResponse): ArmResponse {
  if (call.request.method !== "GET") throw noRoute(call.request);
  return answer();
}

function noRoute(request: ArmRequest): ArmError {
  return new ArmError(
    404,
    "NotFound",
    `No HTTP resource was found that matches the request URI '${request.path}' and method '${request.method}'.`,
  );
}

function refusal(error: unknown): ArmResponse {
  if (error instanceof ArmError)
    return {
      status: error.status,
      body: { error: error.toJson() },
      headers: error.options.headers ?? {},
    };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { status: 500, body: { error: { code: "InternalServerError", message } } };
}
