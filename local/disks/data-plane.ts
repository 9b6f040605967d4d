import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import { DataPlaneFaults, type BlobOperation, type Fault } from "./data-plane-faults.ts";
import { checkVersion, headerOf } from "./data-plane-headers.ts";
import {
  answerClearPage,
  answerHead,
  answerPageList,
  answerRead,
  answerWritePage,
  type BlobCall,
} from "./data-plane-operations.ts";
import { DiskServiceError } from "./disk-errors.ts";
import type { GrantedAccess, ResourceKey } from "./disk-service.ts";
import { findBlob, type ExportedBlob } from "./exported-blob.ts";
import type { LocalDiskService } from "./local-disk-service.ts";
import { invalidHeader, missingHeader, StorageError } from "./storage-error.ts";
import { requireToken, rightOf, type TokenPolicy, type TokenQuestion } from "./token-gate.ts";

export interface DiskDataPlaneOptions {
  readonly service: LocalDiskService;
  /** PEM. */
  readonly key: string;
  readonly cert: string;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Asked for every request; false is answered 403 `AuthorizationFailure`. */
  readonly networkPolicy?: (resource: ResourceKey, socket: Socket) => boolean;
  /** Asked for every request with a good SAS; without it, tokens are not looked at. */
  readonly tokenPolicy?: TokenPolicy;
}

export interface DiskDataPlane {
  readonly origin: string;
  readonly faults: DataPlaneFaults;
  close(): Promise<void>;
}

/** Which access a grant must give for each operation, and what answers it. */
const operations: Record<
  BlobOperation,
  { access: readonly GrantedAccess[]; answer: (call: BlobCall) => Promise<void> }
> = {
  head: { access: ["Read", "Write"], answer: answerHead },
  read: { access: ["Read"], answer: answerRead },
  pageList: { access: ["Read"], answer: answerPageList },
  writePage: { access: ["Write"], answer: answerWritePage },
  clearPage: { access: ["Write"], answer: answerClearPage },
};

/** The HTTPS endpoint behind every SAS of managed disks: a small part of the Blob service. */
export async function startDiskDataPlane(options: DiskDataPlaneOptions): Promise<DiskDataPlane> {
  const faults = new DataPlaneFaults();
  const concurrent = new Map<string, number>();
  const server = createServer({ key: options.key, cert: options.cert }, (request, response) => {
    void handle(options, { faults, concurrent }, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port to listen on");
  const origin = `https://${options.host}:${address.port}`;
  options.service.dataPlaneOrigin = origin;
  return {
    origin,
    faults,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Traffic {
  readonly faults: DataPlaneFaults;
  /** Requests in flight by path. */
  readonly concurrent: Map<string, number>;
}

async function handle(
  options: DiskDataPlaneOptions,
  traffic: Traffic,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://data-plane");
  const path = url.pathname;
  traffic.concurrent.set(path, (traffic.concurrent.get(path) ?? 0) + 1);
  response.setHeader("x-ms-request-id", options.service.state.newGuid());
  response.setHeader("x-ms-version", headerOf(request, "x-ms-version") ?? "2018-03-28");
  try {
    await dispatch(options, traffic, { url, request, response });
  } catch (error) {
    refuse(request, response, error);
  } finally {
    const left = (traffic.concurrent.get(path) ?? 1) - 1;
    if (left > 0) traffic.concurrent.set(path, left);
    else traffic.concurrent.delete(path);
  }
}

async function dispatch(
  { service, networkPolicy, tokenPolicy }: DiskDataPlaneOptions,
  traffic: Traffic,
  { url, request, response }: Pick<BlobCall, "url" | "request" | "response">,
): Promise<void> {
  const blob = findBlob(service.state, url.pathname);
  if (blob === undefined) {
    throw new StorageError(404, "ResourceNotFound", "The specified resource does not exist.");
  }
  const resource = { kind: blob.kind, id: blob.id };
  const operation = operationOf(request, url);
  const fault = traffic.faults.take(
    { operation, ...resource },
    traffic.concurrent.get(url.pathname) ?? 1,
  );
  if (fault !== undefined && "hang" in fault) return;
  throwFault(fault);
  checkVersion(request, { required: operation === "pageList" || request.method === "PUT" });
  if (networkPolicy?.(resource, request.socket) === false) {
    throw new StorageError(
      403,
      "AuthorizationFailure",
      "This request is not authorized to perform this operation.",
    );
  }
  const grant = blob.authenticate(url);
  const authorize = async (asked: ExportedBlob, right: TokenQuestion["right"]): Promise<void> => {
    if (tokenPolicy === undefined) return;
    const { kind, id } = asked;
    const authorization = headerOf(request, "authorization");
    await requireToken(tokenPolicy, { resource: { kind, id }, right, authorization });
  };
  await authorize(blob, rightOf(grant.access));
  const { access, answer } = operations[operation];
  if (!access.includes(grant.access)) {
    throw new StorageError(
      403,
      "AuthorizationPermissionMismatch",
      "This request is not authorized to perform this operation using this permission.",
    );
  }
  const counters = service.countersOf(resource);
  counters.requestCount++;
  const cutAfterBytes =
    fault !== undefined && "cutAfterBytes" in fault ? fault.cutAfterBytes : undefined;
  const { state } = service;
  await answer({ state, blob, url, request, response, counters, cutAfterBytes, authorize });
}

function operationOf(request: IncomingMessage, url: URL): BlobOperation {
  const comp = url.searchParams.get("comp");
  if (request.method === "HEAD" && comp === null) return "head";
  if (request.method === "GET" && comp === null) return "read";
  if (request.method === "GET" && comp === "pagelist") return "pageList";
  if (request.method === "PUT" && comp === "page") {
    const write = headerOf(request, "x-ms-page-write");
    if (write === undefined) throw missingHeader("x-ms-page-write");
    if (write.toLowerCase() === "update") return "writePage";
    if (write.toLowerCase() === "clear") return "clearPage";
    throw invalidHeader("x-ms-page-write", write);
  }
  if (comp !== null && comp !== "page" && comp !== "pagelist") {
    throw new StorageError(
      400,
      "InvalidQueryParameterValue",
      `Value for one of the query parameters specified in the request URI is invalid: comp=${comp}.`,
    );
  }
  throw new StorageError(405, "UnsupportedHttpVerb", "The resource doesn't support the HTTP verb.");
}

function throwFault(fault: Fault | undefined): void {
  if (fault === undefined || !("status" in fault)) return;
  const headers: Record<string, string> =
    fault.retryAfterSeconds === undefined ? {} : { "Retry-After": String(fault.retryAfterSeconds) };
  throw new StorageError(fault.status, fault.code, "This fault was asked for.", headers);
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const [statusCode, code, headers] =
    error instanceof StorageError
      ? [error.statusCode, error.code, error.headers]
      : error instanceof DiskServiceError
        ? [error.statusCode, error.code, {}]
        : [500, "InternalError", {}];
  const message = error instanceof Error ? error.message : String(error);
  const body = Buffer.from(
    `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code>` +
      `<Message>${escapeXml(message)}</Message></Error>`,
  );
  // The rest of a body that nobody reads would be taken for the next request.
  if (request.method === "PUT" && !request.complete) response.setHeader("Connection", "close");
  response.writeHead(statusCode, {
    ...headers,
    "x-ms-error-code": code,
    "Content-Type": "application/xml",
    "Content-Length": body.byteLength,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
