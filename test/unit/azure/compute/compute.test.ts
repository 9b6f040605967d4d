import { once } from "node:events";
import { createServer } from "node:net";
import { ComputeManagementClient } from "@azure/arm-compute";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { boundedRequests } from "#azure/bounded-requests.ts";
import { createCompute } from "#azure/compute/compute.ts";
import { callAzure } from "#azure/errors.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import { ScriptedResourceManager, group, subscriptionId } from "../scripted-resource-manager.ts";

const compute = `${group}/providers/Microsoft.Compute`;
const snapshotId = `${compute}/snapshots/s1`;
const diskId = `${compute}/disks/d1`;
const diskAccessId = `${compute}/diskAccesses/da`;
const vmId = `${compute}/virtualMachines/v1`;
const nicId = `${group}/providers/Microsoft.Network/networkInterfaces/n1`;
const signal = new AbortController().signal;

let manager: ScriptedResourceManager;
let port: ComputePort;

beforeAll(async () => {
  manager = await ScriptedResourceManager.start();
  port = createCompute(manager.options);
});
beforeEach(() => manager.reset());
afterAll(async () => {
  await manager?.[Symbol.asyncDispose]();
});

const snapshotRequest = {
  snapshotId,
  sourceDiskId: diskId,
  location: "westeurope",
  tags: { owner: "x" },
  diskAccessId,
};
const throughDiskAccess = {
  networkAccessPolicy: "AllowPrivate",
  publicNetworkAccess: "Disabled",
  diskAccessId,
};

test("a snapshot is asked for and not waited for", async () => {
  const headers = { "azure-asyncoperation": `${manager.url}/operations/1?api-version=1` };
  manager.answer(`PUT ${snapshotId}`, { status: 202, body: {}, headers });
  await port.startSnapshot(snapshotRequest);
  expect(manager.requests).toHaveLength(1);
  expect(manager.requests[0]?.body).toEqual({
    location: "westeurope",
    tags: { owner: "x" },
    sku: { name: "Standard_LRS" },
    properties: {
      incremental: true,
      creationData: { createOption: "Copy", sourceResourceId: diskId },
      ...throughDiskAccess,
    },
  });
});

test("a long wait that Azure asks for is told, not slept through", async () => {
  const body = { error: { code: "OperationNotAllowed", message: "Too many requests." } };
  manager.answer(`PUT ${snapshotId}`, { status: 429, body, headers: { "retry-after": "300" } });
  await expect(port.startSnapshot(snapshotRequest)).rejects.toMatchObject({
    retry: "backoff",
    context: { status: 429, retryAfterSeconds: 300 },
  });
  expect(manager.requests).toHaveLength(1);
});

test("a short wait is the SDK's", async () => {
  const busy = { status: 429, body: {}, headers: { "retry-after": "0" } };
  manager.answer(`PUT ${snapshotId}`, busy, { status: 200, body: {} });
  await port.startSnapshot(snapshotRequest);
  expect(manager.requests).toHaveLength(2);
});

test("a request without an answer is given up, another attempt may help", async () => {
  const silent = createServer().listen(0, "127.0.0.1");
  await once(silent, "listening");
  const address = silent.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const client = new ComputeManagementClient(manager.options.credential, subscriptionId, {
    endpoint: `https://127.0.0.1:${address.port}`,
    additionalPolicies: [boundedRequests(20)],
  });
  const read = callAzure("read it", () => client.disks.get("g", "d1"));
  await expect(read).rejects.toMatchObject({ code: "RequestTimedOut", retry: "backoff" });
  silent.close();
});

test("errors carry Azure's code, advice and no query string", async () => {
  const refuse = (status: number, code: string) => {
    const message = "See https://x.test/a?sig=secret for more.";
    manager.answer(`PUT ${snapshotId}`, { status, body: { error: { code, message } } });
    return port.startSnapshot(snapshotRequest);
  };
  const conflict = refuse(409, "OperationNotAllowed");
  await expect(conflict).rejects.toMatchObject({ code: "OperationNotAllowed", retry: "backoff" });
  await expect(conflict).rejects.not.toThrow(/secret/);
  const forbidden = { code: "AuthorizationFailed", retry: "never", context: { status: 403 } };
  await expect(refuse(403, "AuthorizationFailed")).rejects.toMatchObject(forbidden);
});

test("reads a snapshot's state; a missing one is undefined", async () => {
  expect(await port.readSnapshot(snapshotId)).toBeUndefined();
  manager.answer(`GET ${snapshotId}`, {
    status: 200,
    body: {
      id: snapshotId,
      name: "s1",
      location: "westeurope",
      tags: { t: "1" },
      properties: {
        provisioningState: "Updating",
        timeCreated: "2026-11-22T00:00:00+00:00",
        diskSizeBytes: 4096,
        incrementalSnapshotFamilyId: "family",
        completionPercent: 40,
        creationData: { createOption: "Copy", sourceUniqueId: "unique" },
        dataAccessAuthMode: "AzureActiveDirectory",
        ...throughDiskAccess,
      },
    },
  });
  expect(await port.readSnapshot(snapshotId)).toEqual({
    snapshotId,
    provisioning: "pending",
    completionPercent: 40,
    sizeBytes: 4096,
    familyId: "family",
    sourceDiskUniqueId: "unique",
    createdAt: new Date("2026-11-22T00:00:00Z"),
    tags: { t: "1" },
    location: "westeurope",
    networkAccess: { policy: "AllowPrivate", publicAccess: false, diskAccessId },
    needsToken: true,
  });
});

test("deleting what is gone succeeds", async () => {
  await port.startDeleteSnapshot(snapshotId);
  await port.startDeleteDisk(diskId);
  await port.startDeleteNic(nicId);
  await port.startDeleteVm(vmId);
  expect(manager.sent("DELETE")).toHaveLength(4);
});

test("a grant is waited for and answers its SAS", async () => {
  const headers = { location: `${manager.url}/operations/grant?api-version=1`, "retry-after": "0" };
  manager.answer(`POST ${snapshotId}/beginGetAccess`, { status: 202, headers });
  const sas = "https://md-1.test/c/abcd?sig=s";
  manager.answer(
    "GET /operations/grant",
    { status: 202, headers },
    { status: 200, body: { accessSAS: sas } },
  );
  expect(await port.grantAccess(snapshotId, "Read", 3600, signal)).toBe(sas);
  expect(manager.sent("POST")[0]?.body).toEqual({ access: "Read", durationInSeconds: 3600 });
});

test("a grant that fails or has no SAS is an error with Azure's code", async () => {
  const operation = `${manager.url}/operations/grant?api-version=1`;
  const headers = { "azure-asyncoperation": operation, "retry-after": "0" };
  manager.answer(`POST ${diskId}/beginGetAccess`, { status: 202, headers });
  const error = { code: "DiskBusy", message: "no" };
  manager.answer("GET /operations/grant", { status: 200, body: { status: "Failed", error } });
  const failed = port.grantAccess(diskId, "Write", 60, signal);
  await expect(failed).rejects.toMatchObject({ code: "DiskBusy" });
  manager.answer(`POST ${diskId}/beginGetAccess`, { status: 200, body: {} });
  const empty = port.grantAccess(diskId, "Write", 60, signal);
  await expect(empty).rejects.toMatchObject({ code: "SasMissing", retry: "backoff" });
});

test("waiting for a grant ends when the signal says so", async () => {
  const headers = { location: `${manager.url}/operations/slow?api-version=1`, "retry-after": "60" };
  manager.answer(`POST ${snapshotId}/beginGetAccess`, { status: 202, headers });
  manager.answer("GET /operations/slow", { status: 202, headers });
  const stop = new AbortController();
  const granting = port.grantAccess(snapshotId, "Read", 60, stop.signal);
  setTimeout(() => stop.abort(), 50);
  await expect(granting).rejects.toMatchObject({ code: "Aborted" });
});

test("a snapshot moves to another disk access, a disk gets its settings", async () => {
  manager.answer(`PATCH ${snapshotId}`, { status: 202, body: {} });
  manager.answer(`PATCH ${diskId}`, { status: 202, body: {} }, { status: 202, body: {} });
  await port.startSnapshotAccess(snapshotId, diskAccessId);
  const open = { policy: "AllowAll", publicAccess: true } as const;
  await port.startDiskSettings(diskId, { networkAccess: open });
  const closed = { policy: "AllowPrivate", publicAccess: false, diskAccessId } as const;
  await port.startDiskSettings(diskId, {
    networkAccess: closed,
    diskEncryptionSetId: "/set",
    dataAccessAuthMode: "AzureActiveDirectory",
  });
  expect(manager.sent("PATCH").map(({ body }) => body?.properties)).toEqual([
    throughDiskAccess,
    { networkAccessPolicy: "AllowAll", publicNetworkAccess: "Enabled" },
    {
      ...throughDiskAccess,
      encryption: { type: "EncryptionAtRestWithCustomerKey", diskEncryptionSetId: "/set" },
      dataAccessAuthMode: "AzureActiveDirectory",
    },
  ]);
});

test("disk accesses are found by tag; a group that is not there has none", async () => {
  const group = diskAccessId.replace(/\/[^/]+$/, "");
  const access = { id: diskAccessId, name: "da", location: "westeurope" };
  const properties = { provisioningState: "Succeeded" };
  const value = [
    { ...access, properties, tags: { owner: "x" } },
    { ...access, properties, tags: { owner: "y" } },
  ];
  manager.answer(`GET ${group}`, { status: 200, body: { value } });
  const list = () =>
    port.listDiskAccesses(diskAccessId.split("/providers/")[0] ?? "", "owner", "x");
  expect(await collect(list())).toEqual([
    { diskAccessId, name: "da", location: "westeurope", provisioning: "succeeded" },
  ]);
  const error = { code: "ResourceGroupNotFound", message: "no group" };
  manager.answer(`GET ${group}`, { status: 404, body: { error } });
  expect(await collect(list())).toEqual([]);
});

async function collect<Value>(list: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const value of list) values.push(value);
  return values;
}

test("revoking access to what is gone succeeds", async () => {
  await port.revokeAccess(snapshotId, signal);
  expect(manager.sent("POST")[0]?.path).toBe(`${snapshotId}/endGetAccess`);
});

test("an upload disk has room for the footer; the same one again is a success", async () => {
  manager.answer(`PUT ${diskId}`, { status: 202, body: {} });
  const request = {
    diskId,
    location: "westeurope",
    zones: ["2"],
    sizeBytes: 1024 ** 3,
    skuName: "Premium_LRS",
    osType: "Linux" as const,
    hyperVGeneration: "V2",
    diskAccessId,
    dataAccessAuthMode: "AzureActiveDirectory" as const,
    tags: { session: "1" },
  };
  await port.startUploadDisk(request);
  const { body } = manager.sent("PUT")[0]!;
  const creationData = { createOption: "Upload", uploadSizeBytes: 1024 ** 3 + 512 };
  expect(body).toMatchObject({ zones: ["2"], sku: { name: "Premium_LRS" } });
  expect(body?.properties).toEqual({
    osType: "Linux",
    hyperVGeneration: "V2",
    creationData,
    dataAccessAuthMode: "AzureActiveDirectory",
    ...throughDiskAccess,
  });

  const existing = { location: "westeurope", tags: { session: "1" }, properties: { creationData } };
  manager.answer(`GET ${diskId}`, { status: 200, body: existing });
  await port.startUploadDisk(request);
  expect(manager.sent("PUT")).toHaveLength(1);
  const foreign = port.startUploadDisk({ ...request, tags: { session: "2" } });
  await expect(foreign).rejects.toMatchObject({ code: "DiskExists", retry: "never" });
});

test("a run command is started once and its state needs the instance view", async () => {
  const path = `${vmId}/runCommands/install`;
  manager.answer(`PUT ${path}`, { status: 201, body: {} });
  const request = {
    vmResourceId: vmId,
    name: "install",
    location: "westeurope",
    script: "echo",
    parameters: { A: "1" },
    protectedParameters: { SECRET: "2" },
    timeoutSeconds: 900,
  };
  await port.startRunCommand(request);
  expect(manager.sent("PUT")[0]?.body?.properties).toMatchObject({
    source: { script: "echo" },
    parameters: [{ name: "A", value: "1" }],
    protectedParameters: [{ name: "SECRET", value: "2" }],
    asyncExecution: true,
    timeoutInSeconds: 900,
  });
  const instanceView = { executionState: "Failed", exitCode: 3, output: "o", error: "e" };
  const body = { location: "westeurope", properties: { instanceView } };
  manager.answer(`GET ${path}`, { status: 200, body });
  await port.startRunCommand(request);
  expect(manager.sent("PUT")).toHaveLength(1);
  const state = { executionState: "Failed", exitCode: 3, output: "o", error: "e" };
  expect(await port.readRunCommand(vmId, "install")).toEqual(state);
  expect(manager.sent("GET").at(-1)?.query.get("$expand")).toBe("instanceView");
});

test("owned resources are found by tag over all pages and types", async () => {
  const list = (path: string, items: unknown[], nextLink?: string) =>
    manager.answer(`GET ${path}`, { status: 200, body: { value: items, nextLink } });
  const root = `/subscriptions/${subscriptionId}/providers`;
  const mine = { location: "l", tags: { Owner: "me" } };
  list(`${root}/Microsoft.Compute/virtualMachines`, [{ ...mine, id: vmId }]);
  list(`${root}/Microsoft.Compute/snapshots`, [], `${manager.url}/more?api-version=1`);
  list("/more", [
    { ...mine, id: snapshotId },
    { id: "x", location: "l", tags: { Owner: "ME" } },
  ]);
  list(`${root}/Microsoft.Compute/disks`, [{ location: "l", id: diskId }]);
  list(`${root}/Microsoft.Network/networkInterfaces`, [{ ...mine, id: nicId }]);
  const found: string[] = [];
  for await (const owned of port.listOwned(subscriptionId, "owner", "me")) {
    found.push(owned.resourceId);
  }
  expect(found).toEqual([vmId, snapshotId, nicId]);
});
