import { expect, test } from "vitest";
import { rightsNeededFor } from "#local/storage/front/data-rights.ts";
import type { StorageService } from "#local/storage/front/network-gate.ts";

const container = "blobServices/default/containers/c";
const queue = "queueServices/default/queues/q";
const table = "tableServices/default/tables/t";
const until = { "x-ms-immutability-policy-until-date": "tomorrow" };

/** Service, request (with headers), scope and sets of rights; `!` marks an action that is no data action. */
const cases: readonly (readonly [
  StorageService,
  string,
  string,
  string,
  Readonly<Record<string, string>>?,
])[] = [
  ["blob", "GET /?comp=list", "", "!containers/read"],
  [
    "blob",
    "POST /?restype=service&comp=userdelegationkey",
    "",
    "!generateUserDelegationKey/action",
  ],
  ["blob", "PUT /c?restype=container", container, "!containers/write"],
  ["blob", "GET /c?restype=container", container, "!containers/read"],
  ["blob", "DELETE /c?restype=container", container, "!containers/delete"],
  ["blob", "PUT /c?restype=container&comp=acl", container, "!containers/setAcl/action"],
  ["blob", "GET /c?restype=container&comp=list", container, "blobs/read"],
  ["blob", "HEAD /c/a/b", container, "blobs/read"],
  ["blob", "PUT /c/a/b?comp=block&blockid=x", container, "blobs/write"],
  ["blob", "PUT /c/b?comp=lease", container, "blobs/write"],
  [
    "blob",
    "PUT /c/b",
    container,
    "blobs/write+blobs/immutableStorage/runAsSuperUser/action",
    until,
  ],
  [
    "blob",
    "PUT /c/b?comp=immutabilityPolicies",
    container,
    "blobs/immutableStorage/runAsSuperUser/action",
  ],
  ["blob", "DELETE /c/b", container, "blobs/delete"],
  ["blob", "DELETE /c/b?versionid=1", container, "blobs/deleteBlobVersion/action"],
  ["blob", "GET /c/b?comp=tags", container, "blobs/tags/read"],
  ["queue", "PUT /q", queue, "!queues/write"],
  ["queue", "DELETE /q", queue, "!queues/delete"],
  ["queue", "GET /q?comp=metadata", queue, "!queues/read"],
  ["queue", "POST /q/messages", queue, "messages/add/action | messages/write"],
  ["queue", "GET /q/messages", queue, "messages/process/action | messages/read+messages/delete"],
  ["queue", "GET /q/messages?peekonly=true", queue, "messages/read"],
  ["queue", "DELETE /q/messages/1", queue, "messages/process/action | messages/delete"],
  ["queue", "DELETE /q/messages", queue, "messages/delete"],
  ["queue", "PUT /q/messages/1", queue, "messages/write"],
  ["table", "POST /Tables", "", "!tables/write"],
  ["table", "DELETE /Tables('t')", table, "!tables/delete"],
  ["table", "GET /t()", table, "entities/read"],
  ["table", "GET /t(PartitionKey='a',RowKey='b')", table, "entities/read"],
  ["table", "POST /t", table, "entities/add/action | entities/write"],
  [
    "table",
    "PUT /t(PartitionKey='a',RowKey='b')",
    table,
    "entities/add/action+entities/update/action | entities/write",
  ],
  [
    "table",
    "MERGE /t(PartitionKey='a',RowKey='b')",
    table,
    "entities/update/action | entities/write",
    { "if-match": "*" },
  ],
  ["table", "DELETE /t(PartitionKey='a',RowKey='b')", table, "entities/delete"],
  [
    "table",
    "POST /$batch",
    "",
    "entities/write+entities/delete | entities/add/action+entities/update/action+entities/delete",
  ],
];

for (const [service, line, scope, expected, headers = {}] of cases) {
  test(`${service}: ${line} needs ${expected}`, () => {
    const [method = "", target = ""] = line.split(" ");
    const url = new URL(target, "https://storage");
    const path = url.pathname
      .split("/")
      .map(decodeURIComponent)
      .filter((part) => part !== "");
    const header = (name: string) => headers[name];
    const needed = rightsNeededFor({ service, method, path, query: url.searchParams, header });
    const names = needed.map((set) =>
      set.map(({ name, isData }) => `${isData ? "" : "!"}${shortOf(name)}`).join("+"),
    );
    expect(names.join(" | ")).toBe(expected);
    expect(new Set(needed.flat().map((right) => right.scope))).toEqual(new Set([scope]));
  });
}

function shortOf(name: string): string {
  return name
    .replace(/^(?:blob|queue|table)Services\//, "")
    .replace(/^(?:containers\/(?=blobs)|queues\/(?=messages)|tables\/(?=entities))/, "");
}
