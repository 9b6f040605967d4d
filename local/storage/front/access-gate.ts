/**
 * Role assignments, for all three storage services: whoever comes with a token of the tenant, or with
 * a SAS that such a principal's delegation key signed, may do what its roles say at the account or at
 * the container, queue or table. An account's key may do all, and its SAS what was signed.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { matchesAction } from "#local/resource-manager/authorization/role-definitions.ts";
import type { AccessSettings } from "../azurite-messages.ts";
import { rightsNeededFor, type DataRequest, type NeededRight } from "./data-rights.ts";
import { accountOf, isNamedByHost, refuse, type StorageService } from "./network-gate.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

const mismatch = {
  status: 403,
  code: "AuthorizationPermissionMismatch",
  message: "This request is not authorized to perform this operation using this permission.",
};

export function accessGateOf(
  service: StorageService,
  access: () => AccessSettings | undefined,
): (listener: Listener) => Listener {
  return (listener) => (request, response) => {
    const known = access();
    const url = new URL(request.url ?? "/", "https://storage");
    const principalId = principalOf(request, url);
    // Without a principal it is a key, a SAS that a key signed, or nothing: Azurite's own affair.
    if (known === undefined || principalId === undefined) return listener(request, response);
    const parts = url.pathname.split("/").slice(1).map(decodeURIComponent);
    const path = (isNamedByHost(request) ? parts : parts.slice(1)).filter((part) => part !== "");
    const asked: DataRequest = {
      service,
      method: methodOf(request),
      path,
      query: url.searchParams,
      header: (name) => request.headers[name]?.toString(),
    };
    if (isAllowed(known, { account: accountOf(request), principalId, asked })) {
      return listener(request, response);
    }
    refuse(request, response, service, mismatch);
  };
}

/** Whether the principal's roles allow the request. */
export function isAllowed(
  access: AccessSettings,
  request: {
    readonly account: string;
    readonly principalId: string;
    readonly asked: DataRequest;
  },
): boolean {
  const { account, principalId, asked } = request;
  const accountId = access.accounts.find(({ name }) => name === account)?.id;
  // No such account: Azurite says so.
  if (accountId === undefined) return true;
  const own = access.assignments.filter((each) => each.principalId === principalId.toLowerCase());
  const holds = (right: NeededRight): boolean =>
    own.some(
      ({ scope, permissions }) =>
        isWithin(right.scope === "" ? accountId : `${accountId}/${right.scope}`, scope) &&
        permissions.some((permission) => gives(permission, right)),
    );
  return (
    rightsNeededFor(asked).some((set) => set.every(holds)) &&
    sourceRights(asked, account).every(holds)
  );
}

type Permission = AccessSettings["assignments"][number]["permissions"][number];

function gives(permission: Permission, { name, isData }: NeededRight): boolean {
  const action = `Microsoft.Storage/storageAccounts/${name}`;
  const given = isData ? permission.dataActions : permission.actions;
  const kept = isData ? permission.notDataActions : permission.notActions;
  const matches = (pattern: string): boolean => matchesAction(pattern, action);
  return given.some(matches) && !kept.some(matches);
}

/** A copy reads its source with the caller's rights, unless that is named with a SAS. */
function sourceRights({ header }: DataRequest, account: string): NeededRight[] {
  const source = header("x-ms-copy-source");
  if (source === undefined || !URL.canParse(source)) return [];
  const { pathname, host, searchParams } = new URL(source);
  if (searchParams.has("sig")) return [];
  const parts = pathname.split("/").slice(1).map(decodeURIComponent);
  const isByHost = host.startsWith(`${account}.`);
  if (!isByHost && parts[0] !== account) return [];
  const scope = `blobServices/default/containers/${(isByHost ? parts[0] : parts[1]) ?? ""}`;
  return [{ name: "blobServices/containers/blobs/read", isData: true, scope }];
}

/** Object id of whoever the token was issued to, or whose delegation key signed the SAS. */
function principalOf({ headers }: IncomingMessage, url: URL): string | undefined {
  const [, payload] = /^Bearer [^.]+\.([^.]+)\./i.exec(headers.authorization ?? "") ?? [];
  if (payload === undefined) return url.searchParams.get("skoid") ?? undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    const id: unknown =
      typeof claims === "object" && claims !== null ? Reflect.get(claims, "oid") : "";
    return String(id);
  } catch {
    // No token: Azurite refuses it with its own code.
    return undefined;
  }
}

/** The table SDK sends MERGE as a POST with this header. */
function methodOf({ method, headers }: IncomingMessage): string {
  return headers["x-http-method"]?.toString() ?? method ?? "GET";
}

function isWithin(scope: string, ancestor: string): boolean {
  const [id, root] = [scope.toLowerCase(), ancestor.toLowerCase().replace(/\/$/, "")];
  return id === root || id.startsWith(`${root}/`);
}
