/**
 * The network rules of storage accounts, for all three services: an account without public access
 * is reached through its approved private endpoints only, and an endpoint leads to its own account
 * and service. Which way a request came is told by the loopback address that it comes from.
 * Source: learn.microsoft.com/azure/storage/common/storage-network-security,
 * learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { NetworkSettings } from "../azurite-messages.ts";

export type StorageService = "blob" | "queue" | "table";
type Listener = (request: IncomingMessage, response: ServerResponse) => void;

const hostPattern = /^([a-z0-9]+)\.(?:blob|queue|table)\.core\.windows\.net(?::\d+)?$/i;

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const notFromHere: Refusal = {
  status: 403,
  code: "AuthorizationFailure",
  message: "This request is not authorized to perform this operation.",
};
const noSharedKeys: Refusal = {
  status: 403,
  code: "KeyBasedAuthenticationNotPermitted",
  message: "Key based authentication is not permitted on this storage account.",
};

/** Undefined = let it pass. */
export function judgeRequest(
  network: NetworkSettings,
  request: {
    readonly account: string;
    readonly service: StorageService;
    readonly from: string;
    readonly hasSharedKey: boolean;
  },
): Refusal | undefined {
  const { account, service, from, hasSharedKey } = request;
  const rules = network.accounts.find(({ name }) => name === account);
  if (rules === undefined) return undefined;
  const way = network.endpoints.find(({ address }) => address === from);
  const isInternet = from === network.internetAddress;
  // Nobody but the stack has an account's key as long as it stays on the machine.
  if (way === undefined && !isInternet && hasSharedKey) return undefined;
  if (way !== undefined && (way.account !== account || way.service !== service)) return notFromHere;
  if (isInternet && !rules.publicAccess) return notFromHere;
  const isOpen = rules.publicAccess || rules.endpointServices.includes(service);
  if (way === undefined && !isOpen) return notFromHere;
  return hasSharedKey && !rules.sharedKeys ? noSharedKeys : undefined;
}

export function gateOf(
  service: StorageService,
  network: () => NetworkSettings,
): (listener: Listener) => Listener {
  return (listener) => (request, response) => {
    const refusal = judgeRequest(network(), {
      account: accountOf(request),
      service,
      from: request.socket.remoteAddress ?? "",
      hasSharedKey: request.headers.authorization?.startsWith("SharedKey") === true,
    });
    if (refusal === undefined) listener(request, response);
    else refuse(request, response, service, refusal);
  };
}

/** `account.blob.core.windows.net`, or the first part of the path on an address. */
export function accountOf(request: IncomingMessage): string {
  const [, named] = hostPattern.exec(request.headers.host ?? "") ?? [];
  return named ?? /^\/([^/?]+)/.exec(request.url ?? "")?.[1] ?? "";
}

/** Whether the account stands in the host's name, not in the path. */
export function isNamedByHost({ headers }: IncomingMessage): boolean {
  return hostPattern.test(headers.host ?? "");
}

/** Answers in the form of the service. */
export function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  service: StorageService,
  { status, code, message }: Refusal,
): void {
  request.resume();
  const requestId = randomUUID();
  const said = `${message}\nRequestId:${requestId}\nTime:${new Date().toISOString()}`;
  const isJson = service === "table";
  const body = isJson
    ? JSON.stringify({ "odata.error": { code, message: { lang: "en-US", value: said } } })
    : `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${said}</Message></Error>`;
  response.writeHead(status, {
    "content-type": isJson ? "application/json" : "application/xml",
    "x-ms-error-code": code,
    "x-ms-request-id": requestId,
    // Assumed: a client that keeps the connection would never find the way that is there later.
    connection: "close",
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
