/**
 * The rights that the storage services ask of a principal for each operation. One of several sets has to
 * be held in full. Source: learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory,
 * tables "Permissions for Blob / Queue / Table service operations".
 */
import type { StorageService } from "./network-gate.ts";

export interface DataRequest {
  readonly service: StorageService;
  readonly method: string;
  /** Decoded parts of the path below the account. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly header: (name: string) => string | undefined;
}

export interface NeededRight {
  /** Below `Microsoft.Storage/storageAccounts/`. */
  readonly name: string;
  readonly isData: boolean;
  /** Id of the container, queue or table below the account's; empty for the account. */
  readonly scope: string;
}

/** Sets of rights; the first that is held in full is enough. */
type Needed = readonly (readonly NeededRight[])[];

const blobs = "blobServices/containers/blobs";
const messages = "queueServices/queues/messages";
const entities = "tableServices/tables/entities";
const readMethods = new Set(["GET", "HEAD"]);

export function rightsNeededFor(request: DataRequest): Needed {
  switch (request.service) {
    case "blob":
      return blobRights(request);
    case "queue":
      return queueRights(request);
    case "table":
      return tableRights(request);
  }
}

function blobRights(request: DataRequest): Needed {
  const { method, path, query } = request;
  const [container = "", ...blob] = path;
  const scope = container === "" ? "" : `blobServices/default/containers/${container}`;
  const comp = query.get("comp") ?? "";
  const action = (name: string) => [[{ name, isData: false, scope }]];
  const data = (...names: string[]) => [names.map((name) => ({ name, isData: true, scope }))];
  if (container === "") {
    if (comp === "userdelegationkey")
      return action("blobServices/generateUserDelegationKey/action");
    if (comp === "list") return action("blobServices/containers/read");
    if (comp === "batch") return data(`${blobs}/write`, `${blobs}/delete`);
    if (comp === "blobs") return data(`${blobs}/filter/action`);
    return action(`blobServices/${readMethods.has(method) ? "read" : "write"}`);
  }
  if (blob.length === 0) {
    if (comp === "list") return data(`${blobs}/read`);
    if (comp === "batch") return data(`${blobs}/write`, `${blobs}/delete`);
    if (comp === "acl") {
      return action(`blobServices/containers/${method === "PUT" ? "set" : "get"}Acl/action`);
    }
    if (method === "DELETE") return action("blobServices/containers/delete");
    return action(`blobServices/containers/${readMethods.has(method) ? "read" : "write"}`);
  }
  if (comp === "immutabilityPolicies" || comp === "legalhold") {
    return data(`${blobs}/immutableStorage/runAsSuperUser/action`);
  }
  if (comp === "tags") return data(`${blobs}/tags/${readMethods.has(method) ? "read" : "write"}`);
  if (readMethods.has(method)) return data(`${blobs}/read`);
  if (method === "DELETE") {
    return data(`${blobs}/${query.has("versionid") ? "deleteBlobVersion/action" : "delete"}`);
  }
  return [[...data(`${blobs}/write`).flat(), ...rightsOfHeaders(request, scope)]];
}

/** What a write asks for besides, because of what it brings with it. */
function rightsOfHeaders({ header }: DataRequest, scope: string): NeededRight[] {
  const rights: NeededRight[] = [];
  const isProtected = ["x-ms-immutability-policy-until-date", "x-ms-legal-hold"].some(
    (name) => header(name) !== undefined,
  );
  if (isProtected) {
    rights.push({ name: `${blobs}/immutableStorage/runAsSuperUser/action`, isData: true, scope });
  }
  if (header("x-ms-tags") !== undefined) {
    rights.push({ name: `${blobs}/tags/write`, isData: true, scope });
  }
  return rights;
}

function queueRights({ method, path, query }: DataRequest): Needed {
  const [queue = "", below, messageId] = path;
  const scope = queue === "" ? "" : `queueServices/default/queues/${queue}`;
  const action = (name: string) => [[{ name, isData: false, scope }]];
  const data = (...names: string[]) =>
    names.map((name) => ({ name: `${messages}/${name}`, isData: true, scope }));
  if (queue === "") {
    if (query.get("comp") === "list") return action("queueServices/queues/read");
    return action(`queueServices/${readMethods.has(method) ? "read" : "write"}`);
  }
  if (below !== "messages") {
    if (method === "DELETE") return action("queueServices/queues/delete");
    return action(`queueServices/queues/${readMethods.has(method) ? "read" : "write"}`);
  }
  if (method === "POST") return [data("add/action"), data("write")];
  if (method === "PUT") return [data("write")];
  if (method === "DELETE") {
    return messageId === undefined ? [data("delete")] : [data("process/action"), data("delete")];
  }
  if (query.get("peekonly")?.toLowerCase() === "true") return [data("read")];
  return [data("process/action"), data("read", "delete")];
}

function tableRights({ method, path, header }: DataRequest): Needed {
  const [resource = ""] = path;
  const table = /^(?:Tables\('([^']*)'\)|([^($]+))/.exec(resource);
  const isOfTables = resource === "Tables" || table?.[1] !== undefined;
  const name = table?.[1] ?? (isOfTables ? undefined : table?.[2]);
  const scope = name === undefined ? "" : `tableServices/default/tables/${name}`;
  const data = (...names: string[]) =>
    names.map((right) => ({ name: `${entities}/${right}`, isData: true, scope }));
  if (isOfTables || resource === "") {
    const right = { GET: "read", POST: "write", DELETE: "delete" }[method] ?? "write";
    return [[{ name: `tableServices/tables/${right}`, isData: false, scope }]];
  }
  // What is in a batch is not looked at: whoever sends one needs all that could be in it.
  if (resource === "$batch") {
    return [data("write", "delete"), data("add/action", "update/action", "delete")];
  }
  if (readMethods.has(method)) return [data("read")];
  if (method === "DELETE") return [data("delete")];
  if (method === "POST") return [data("add/action"), data("write")];
  const isUpsert = header("if-match") === undefined;
  return [data(...(isUpsert ? ["add/action"] : []), "update/action"), data("write")];
}
