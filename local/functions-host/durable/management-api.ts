/**
 * The HTTP API of the Durable extension (`HttpApiHandler`): mounted for the app itself at
 * `rpcBaseUrl`, for others at /runtime/webhooks/durabletask with the system key.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { codeOf, HoldfastError, messageOf } from "#core/lib/errors.ts";
import { sendJson } from "../triggers/http-messages.ts";
import { entityInstanceId, parseEntityInstanceId } from "./entity-messages.ts";
import type { HubClient, RequestOutcome } from "./hub-client.ts";
import {
  type InstanceHeader,
  isTerminal,
  runtimeStatuses,
  type RuntimeStatus,
} from "./instance-record.ts";
import { instanceUrls, type ManagementEndpoint } from "./management-urls.ts";
import { historyPayload, jsonOrText, statusPayload, wholeSeconds } from "./status-payload.ts";
import type { InstanceFilter } from "./task-store.ts";

export interface ManagementRequest {
  readonly request: IncomingMessage;
  readonly url: URL;
  /** Where the API is mounted: origin and path. */
  readonly base: string;
  /** Decoded segments of the path below the mount. */
  readonly segments: readonly string[];
  readonly body: string;
}

const defaultPageSize = 100;

const outcomeStatus: Readonly<Record<RequestOutcome, number>> = {
  accepted: 202,
  "not-found": 404,
  ended: 410,
};

export class ManagementApi {
  readonly #client: HubClient;
  readonly #endpoint: ManagementEndpoint;

  constructor(client: HubClient, endpoint: ManagementEndpoint) {
    this.#client = client;
    this.#endpoint = endpoint;
  }

  async handle(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const [collection] = call.segments;
    try {
      if (collection === "orchestrators") await this.#start(call, response);
      else if (collection === "instances") await this.#instances(call, response);
      else if (collection === "entities") await this.#entities(call, response);
      else response.writeHead(404).end();
    } catch (error) {
      sendError(response, error);
    }
  }

  async #start(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const [, name = "", instanceId] = call.segments;
    if (call.request.method !== "POST" || name === "" || call.segments.length > 3) {
      response.writeHead(404).end();
      return;
    }
    const input = call.body === "" ? null : canonicalJson(call.body);
    const version = call.url.searchParams.get("version") ?? undefined;
    const id = await this.#client.start({ name, instanceId, input, version });
    const urls = instanceUrls(this.#endpoint, call.base, id);
    sendJson(response, 202, urls, { location: urls.statusQueryGetUri, "retry-after": "10" });
  }

  async #instances(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const [, instanceId, operation] = call.segments;
    const { method } = call.request;
    if (instanceId === undefined) {
      if (method === "GET") await this.#list(call, response);
      else if (method === "DELETE") await this.#purgeMany(call, response);
      else response.writeHead(404).end();
    } else if (operation !== undefined) {
      if (method === "POST") await this.#operate(call, response, instanceId, operation);
      else response.writeHead(404).end();
    } else if (method === "GET") await this.#status(call, response, instanceId);
    else if (method === "DELETE") {
      const isPurged = await this.#client.purge(instanceId);
      if (isPurged) sendJson(response, 200, { instancesDeleted: 1 });
      else response.writeHead(404).end();
    } else response.writeHead(404).end();
  }

  async #status(
    call: ManagementRequest,
    response: ServerResponse,
    instanceId: string,
  ): Promise<void> {
    const record = await this.#client.load(instanceId);
    if (record === undefined || record.entity !== null) {
      response.writeHead(404).end();
      return;
    }
    const { searchParams } = call.url;
    const payload = statusPayload(record, flag(searchParams, "showInput", true));
    const showsHistory = flag(searchParams, "showHistory", false) && record.status !== "Pending";
    const showsOutput = flag(searchParams, "showHistoryOutput", false);
    const history = showsHistory
      ? { historyEvents: historyPayload(record.history, showsOutput) }
      : {};
    const isRunning = !isTerminal(record.status);
    const failsLoudly = flag(searchParams, "returnInternalServerErrorOnFailure", false);
    const failed = record.status === "Failed" && failsLoudly;
    const headers = isRunning ? { location: call.url.href, "retry-after": "5" } : undefined;
    sendJson(response, isRunning ? 202 : failed ? 500 : 200, { ...payload, ...history }, headers);
  }

  async #list(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const { searchParams } = call.url;
    const showsInput = flag(searchParams, "showInput", true);
    const all = await this.#client.list(filterOf(searchParams));
    const page = pageOf(all, call);
    const payloads = page.items.map((header) => statusPayload(header, showsInput));
    sendJson(response, 200, payloads, page.headers);
  }

  async #purgeMany(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const { searchParams } = call.url;
    if (!searchParams.has("createdTimeFrom")) {
      throw invalid("Please provide value for 'createdTimeFrom' parameter.");
    }
    const found = await this.#client.list(filterOf(searchParams));
    let purgedCount = 0;
    for (const { instanceId, status } of found) {
      if (isTerminal(status) && (await this.#client.purge(instanceId))) purgedCount += 1;
    }
    if (purgedCount > 0) sendJson(response, 200, { instancesDeleted: purgedCount });
    else response.writeHead(404).end();
  }

  async #operate(
    call: ManagementRequest,
    response: ServerResponse,
    instanceId: string,
    operation: string,
  ): Promise<void> {
    const { searchParams } = call.url;
    const reason = searchParams.get("reason") ?? "";
    const answer = (outcome: RequestOutcome): void => {
      response.writeHead(outcomeStatus[outcome]).end();
    };
    switch (operation.toLowerCase()) {
      case "raiseevent":
        return answer(await this.#raiseEvent(call, instanceId));
      case "terminate":
        return answer(await this.#client.terminate(instanceId, reason));
      case "suspend":
        return answer(await this.#client.suspend(instanceId, reason));
      case "resume":
        return answer(await this.#client.resume(instanceId, reason));
      case "restart": {
        const withNewId = flag(searchParams, "restartWithNewInstanceId", true);
        const id = await this.#client.restart(instanceId, withNewId);
        if (id === undefined) return answer("not-found");
        return sendJson(response, 202, instanceUrls(this.#endpoint, call.base, id));
      }
      case "rewind":
        return sendJson(response, 501, { Message: "The local host does not emulate rewind." });
      default:
        return answer("not-found");
    }
  }

  async #raiseEvent(call: ManagementRequest, instanceId: string): Promise<RequestOutcome> {
    const [, , , eventName = ""] = call.segments;
    if (eventName === "") return "not-found";
    const record = await this.#client.load(instanceId);
    if (record === undefined || record.entity !== null) return "not-found";
    if (isTerminal(record.status)) return "ended";
    const contentType = call.request.headers["content-type"] ?? "";
    if (contentType.split(";")[0]?.trim().toLowerCase() !== "application/json") {
      throw invalid("Only application/json request content is supported");
    }
    return this.#client.raiseEvent(instanceId, eventName, canonicalJson(call.body));
  }

  async #entities(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const [, name = "", key] = call.segments;
    const { method } = call.request;
    const { searchParams } = call.url;
    if (key === undefined && method === "GET") return this.#listEntities(call, response);
    if (key === undefined) return void response.writeHead(404).end();
    if (method === "POST" || method === "DELETE") {
      const operation = method === "DELETE" ? "delete" : (searchParams.get("op") ?? "");
      const input = call.body === "" ? undefined : canonicalJson(call.body);
      await this.#client.signalEntity({ name, key }, operation, input);
      return void response.writeHead(202).end();
    }
    const record = await this.#client.load(entityInstanceId(name, key));
    const entity = record?.entity ?? undefined;
    if (method !== "GET" || entity?.exists !== true) return void response.writeHead(404).end();
    return sendJson(response, 200, jsonOrText(entity.state));
  }

  async #listEntities(call: ManagementRequest, response: ServerResponse): Promise<void> {
    const [, name] = call.segments;
    const showsState = flag(call.url.searchParams, "fetchState", false);
    const prefix = name === undefined ? {} : { instanceIdPrefix: entityInstanceId(name, "") };
    const all = await this.#client.list({ kind: "entity", ...prefix });
    const page = pageOf(
      all.filter(({ entity }) => entity?.exists === true),
      call,
    );
    const payloads = page.items.map(({ instanceId, updatedAt, entity }) => ({
      entityId: parseEntityInstanceId(instanceId),
      lastOperationTime: wholeSeconds(updatedAt),
      ...(showsState ? { state: jsonOrText(entity?.state ?? null) } : {}),
    }));
    sendJson(response, 200, payloads, page.headers);
  }
}

function sendError(response: ServerResponse, error: unknown): void {
  const statuses: Readonly<Record<string, number>> = { InvalidArgument: 400, InstanceExists: 409 };
  sendJson(response, statuses[codeOf(error)] ?? 500, {
    Message:
      codeOf(error) === "InvalidArgument"
        ? "One or more of the arguments submitted is incorrect"
        : "Something went wrong while processing your request",
    ExceptionMessage: messageOf(error),
    ExceptionType: codeOf(error),
    StackTrace: null,
  });
}

function invalid(message: string): HoldfastError {
  return new HoldfastError("InvalidArgument", message);
}

/** JSON text in one form. @throws HoldfastError `InvalidArgument` */
function canonicalJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (error) {
    throw invalid(`Invalid JSON content: ${messageOf(error)}`);
  }
}

function flag(query: URLSearchParams, name: string, otherwise: boolean): boolean {
  const value = query.get(name)?.toLowerCase();
  return value === "true" || (value !== "false" && otherwise);
}

/** Statuses that the API knows and this host never gives. */
const foreignStatuses: readonly string[] = ["Canceled", "ContinuedAsNew", "Unknown"];

function filterOf(query: URLSearchParams): InstanceFilter {
  const names = query.getAll("runtimeStatus").flatMap((value) => value.split(","));
  const asked = names.filter((name) => name !== "");
  const statuses = asked.filter((name) => !foreignStatuses.includes(name)).map(parseStatus);
  const createdFrom = timeOf(query, "createdTimeFrom");
  const createdTo = timeOf(query, "createdTimeTo");
  const instanceIdPrefix = query.get("instanceIdPrefix");
  return {
    kind: "orchestration",
    ...(asked.length > 0 ? { statuses } : {}),
    ...(createdFrom === undefined ? {} : { createdFrom }),
    ...(createdTo === undefined ? {} : { createdTo }),
    ...(instanceIdPrefix === null ? {} : { instanceIdPrefix }),
  };
}

function parseStatus(name: string): RuntimeStatus {
  const status = runtimeStatuses.find((each) => each === name);
  if (status === undefined) throw invalid(`runtimeStatus '${name}' is unknown.`);
  return status;
}

function timeOf(query: URLSearchParams, name: string): Date | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) throw invalid(`${name} '${text}' is not a time.`);
  return time;
}

/** The page after the last id of the page before; ids, not offsets, survive changes between. */
function pageOf(
  all: readonly InstanceHeader[],
  call: ManagementRequest,
): { items: InstanceHeader[]; headers: Record<string, string> } {
  const size = Number(call.url.searchParams.get("top") ?? defaultPageSize);
  if (!Number.isInteger(size) || size < 1) throw invalid("top must be a positive number.");
  const token = call.request.headers["x-ms-continuation-token"];
  const afterId =
    typeof token === "string" && token !== "" ? Buffer.from(token, "base64").toString() : "";
  const rest = all.filter(({ instanceId }) => instanceId > afterId);
  const items = rest.slice(0, size);
  const lastId = items.at(-1)?.instanceId;
  const hasMore = rest.length > items.length && lastId !== undefined;
  const headers: Record<string, string> = hasMore
    ? { "x-ms-continuation-token": Buffer.from(lastId).toString("base64") }
    : {};
  return { items, headers };
}
