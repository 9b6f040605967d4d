import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { createCompute } from "#azure/compute/compute.ts";
import { createDiskData } from "#azure/disk/disk-data.ts";
import { createDiskTokens } from "#azure/disk/disk-token.ts";
import { createCredential } from "#azure/identity/credential.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import type { DiskData } from "#core/ports/disk-data.ts";
import {
  startInstanceMetadataEndpoint,
  type InstanceMetadataEndpoint,
} from "#local/identity/instance-metadata-endpoint.ts";
import type { Principal } from "#local/identity/principals.ts";
import { openTokenService, type TokenService } from "#local/identity/token-service.ts";
import {
  diskId,
  group,
  quick,
  region,
  resourceId,
  startComputeCloud,
  type ComputeCloud,
} from "../compute/compute-cloud.ts";

/** Disks and snapshots in the data access mode Microsoft Entra ID, through our own adapters. */
const signal = new AbortController().signal;
const sizeBytes = 1024 ** 3;
const mode = { dataAccessAuthMode: "AzureActiveDirectory" } as const;
const diskAccessId = resourceId("Microsoft.Compute/diskAccesses", "exports");
const subscription = diskAccessId.split("/").slice(0, 3).join("/");
const roleSchema = z.object({ DataActions: z.array(z.string()) });
const withToken = { needsToken: true } as const;

let cloud: ComputeCloud;
let tokens: TokenService;
let port: ComputePort;
/** The SDK finds the metadata service once in a process: one machine has all the identities. */
let metadata: InstanceMetadataEndpoint;
const workers: Principal[] = [];
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  cloud = await startComputeCloud();
  const ca = readFileSync(join(cloud.directory, "tls", "ca.pem"), "utf8");
  setDefaultCACertificates([...getCACertificates("default"), ca]);
  tokens = await openTokenService({ path: join(cloud.directory, "tenant.json") });
  metadata = await startInstanceMetadataEndpoint({
    tokens,
    vm: { identities: () => workers, compute: () => ({}) },
  });
  vi.stubEnv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.origin);
  port = createCompute({
    credential: cloud.credential,
    resourceManagerUrl: cloud.manager.endpoint,
  });
  await port.startDiskAccess({ diskAccessId, location: region, tags: {} });
  await cloud.client.disks.createOrUpdate(
    group,
    "secured",
    { location: region, diskSizeGB: 1, creationData: { createOption: "Empty" }, ...mode },
    quick,
  );
});

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await metadata?.[Symbol.asyncDispose]();
  await cloud?.close();
});

/** A worker's identity; with the role of `infra/roles` at the scope, if any. */
function makeWorker(name: string, scope?: string): Principal {
  const worker = cloud.manager.context.principals.create({
    kind: "UserAssigned",
    displayName: name,
    resourceId: resourceId("Microsoft.ManagedIdentity/userAssignedIdentities", name),
  });
  workers.push(worker);
  const path = join(import.meta.dirname, "../../../infra/roles/holdfast-worker-disks.json");
  const { DataActions: dataActions } = roleSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  const roles = `${subscription}/providers/Microsoft.Authorization/roleDefinitions`;
  const guid = "3f1c9a52-0000-4000-8000-0000000000d1";
  cloud.manager.resources.put(`${roles}/${guid}`, {
    body: {
      properties: {
        roleName: "Holdfast worker disks",
        type: "CustomRole",
        permissions: [{ actions: [], dataActions }],
        assignableScopes: [subscription],
      },
    },
  });
  if (scope !== undefined)
    cloud.manager.assignRole({ principalId: worker.objectId, role: guid, scope });
  return worker;
}

/** Disks as the agent with that identity reaches them: its token is from the metadata service. */
function disksOf({ clientId }: Principal): DiskData {
  const readToken = createDiskTokens(createCredential({ clientId }));
  return createDiskData({ readToken, backoffMs: 1, maxAttempts: 2 });
}

async function takeSnapshot(name: string, more: Partial<typeof mode> = mode): Promise<string> {
  const snapshotId = resourceId("Microsoft.Compute/snapshots", name);
  const source = { sourceDiskId: diskId("secured"), location: region };
  await port.startSnapshot({ snapshotId, ...source, diskAccessId, tags: {}, ...more });
  await expect
    .poll(async () => (await port.readSnapshot(snapshotId))?.provisioning)
    .toBe("succeeded");
  return snapshotId;
}

/** Revoked after the test: a disk access bears five at once. */
async function grantRead(snapshotId: string): Promise<string> {
  const { snapshots } = cloud.client;
  const name = snapshotId.slice(snapshotId.lastIndexOf("/") + 1);
  stops.push(async () => snapshots.revokeAccess(group, name, quick));
  const wanted = { access: "Read", durationInSeconds: 600 };
  return (await snapshots.grantAccess(group, name, wanted, quick)).accessSAS ?? "";
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function codeOfRead(
  disks: DiskData,
  sas: string,
  options: { needsToken?: boolean } = withToken,
): Promise<unknown> {
  await using reader = disks.openReader(sas, options);
  return await reader.readSizeBytes(signal).then(
    () => "read",
    (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
  );
}

test("snapshots are read, compared and told apart with SAS and token; neither alone is enough", async () => {
  const worker = makeWorker("reader", subscription);
  const disks = disksOf(worker);
  await cloud.disks.guestWrite(diskId("secured").toLowerCase(), 0, new Uint8Array(4096).fill(1));
  const base = await takeSnapshot("base");
  await cloud.disks.guestWrite(diskId("secured").toLowerCase(), 8192, new Uint8Array(512).fill(2));
  const next = await takeSnapshot("next");
  expect((await port.readSnapshot(next))?.needsToken).toBe(true);
  const baseSas = await grantRead(base);
  const sas = await grantRead(next);
  await using reader = disks.openReader(sas, withToken);
  expect(await reader.readSizeBytes(signal)).toBe(sizeBytes);
  expect(await reader.read({ offsetBytes: 8192, lengthBytes: 512 }, signal)).toEqual(
    new Uint8Array(512).fill(2),
  );
  expect(await collect(reader.listChanged(baseSas, signal))).toEqual([
    { offsetBytes: 8192, lengthBytes: 512, kind: "data" },
  ]);
  expect(await codeOfRead(createDiskData(), sas, {})).toBe("DiskTokenRefused");
  const forged = createDiskData({ readToken: async () => "not.a.token" });
  expect(await codeOfRead(forged, sas)).toBe("DiskTokenRefused");
  expect(await codeOfRead(disks, sas.replace(/sig=[^&]+/, "sig=x"))).toBe("SasRefused");
});

test("a token for another audience opens nothing, not even without the slash at the end", async () => {
  const worker = makeWorker("audiences", subscription);
  const sas = await grantRead(await takeSnapshot("audiences"));
  for (const [audience, expected] of [
    ["https://disk.azure.com/", "read"],
    ["https://disk.azure.com", "DiskTokenRefused"],
    ["https://storage.azure.com/", "DiskTokenRefused"],
  ] as const) {
    const credential = cloud.credentialOf(worker, audience);
    const readToken = async () => (await credential.getToken(""))?.token ?? "";
    expect(await codeOfRead(createDiskData({ readToken }), sas)).toBe(expected);
  }
});

test("an identity needs the data action on that very snapshot; one that owns all has none", async () => {
  const first = await takeSnapshot("first");
  const second = await takeSnapshot("second");
  const disks = disksOf(makeWorker("narrow", first));
  const [firstSas, secondSas] = [await grantRead(first), await grantRead(second)];
  expect(await codeOfRead(disks, firstSas)).toBe("read");
  expect(await codeOfRead(disks, secondSas)).toBe("DiskPermissionMissing");
  // The base's blocks show through the diff: it is asked for, too.
  await using reader = disks.openReader(firstSas, withToken);
  await expect(collect(reader.listChanged(secondSas, signal))).rejects.toMatchObject({
    code: "DiskPermissionMissing",
  });
  const owner = makeWorker("owner");
  cloud.manager.assignRole({ principalId: owner.objectId, role: "Owner", scope: subscription });
  expect(await codeOfRead(disksOf(owner), firstSas)).toBe("DiskPermissionMissing");
});

test("a snapshot that asks for no token gets none", async () => {
  const disks = disksOf(makeWorker("plain", subscription));
  const sas = await grantRead(await takeSnapshot("plain", {}));
  expect(await codeOfRead(disks, sas, {})).toBe("read");
  expect(await codeOfRead(disks, sas)).toBe("SasRefused");
});

test("a disk is filled with SAS and token, and keeps its mode", async () => {
  const target = diskId("filled");
  const upload = { location: region, zones: [], sizeBytes, skuName: "Standard_LRS", tags: {} };
  await port.startUploadDisk({ diskId: target, ...upload, diskAccessId, ...mode });
  await expect.poll(async () => (await port.readDisk(target))?.diskState).toBe("ReadyToUpload");
  const sas = await port.grantAccess(target, "Write", 600, signal);
  const refused = disksOf(makeWorker("stranger")).openWriter(sas, sizeBytes, withToken);
  await expect(refused.finish(signal)).rejects.toMatchObject({ code: "DiskPermissionMissing" });
  await refused[Symbol.asyncDispose]();
  const disks = disksOf(makeWorker("writer", target));
  await using writer = disks.openWriter(sas, sizeBytes, withToken);
  await writer.write(4096, new Uint8Array(512).fill(7), signal);
  await writer.finish(signal);
  await port.revokeAccess(target, signal);
  await expect
    .poll(async () => await port.readDisk(target))
    .toMatchObject({ diskState: "Unattached", settings: mode });
});
