import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createCompute } from "#azure/compute/compute.ts";
import { createDiskData } from "#azure/disk/disk-data.ts";
import { resourceGroupIdOf, resourceGroupOf } from "#core/model/resource-id.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import {
  createEmptyDisk,
  diskId,
  group,
  quick,
  region,
  resourceId,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "../compute/compute-cloud.ts";

const signal = new AbortController().signal;
let cloud: ComputeCloud;
let port: ComputePort;

beforeAll(async () => {
  cloud = await startComputeCloud();
  const ca = readFileSync(join(cloud.directory, "tls", "ca.pem"), "utf8");
  setDefaultCACertificates([...getCACertificates("default"), ca]);
  port = createCompute({
    credential: cloud.credential,
    resourceManagerUrl: cloud.manager.endpoint,
  });
});

afterAll(async () => cloud?.close());

test("a snapshot lives its whole life: made, read, granted, revoked, deleted", async () => {
  const sourceDiskId = await createEmptyDisk(cloud, "source");
  const snapshotId = diskId("source").replace("/disks/source", "/snapshots/s1");
  expect(sourceDiskId.toLowerCase()).toBe(diskId("source").toLowerCase());
  const diskAccessId = await makeDiskAccess("first");
  const tags = { owner: "adapter" };
  const request = { snapshotId, sourceDiskId, location: region, tags, diskAccessId };
  await port.startSnapshot(request);
  await expect
    .poll(async () => (await port.readSnapshot(snapshotId))?.provisioning)
    .toBe("succeeded");
  const snapshot = await port.readSnapshot(snapshotId);
  expect(snapshot).toMatchObject({ completionPercent: 100, tags: { owner: "adapter" } });
  expect(snapshot?.familyId).toBeTruthy();
  expect(snapshot?.sourceDiskUniqueId).toBeTruthy();
  const closed = { policy: "AllowPrivate", publicAccess: false };
  expect(snapshot?.networkAccess).toEqual({ ...closed, diskAccessId });

  const other = await makeDiskAccess("second");
  await port.startSnapshotAccess(snapshotId, other);
  await expect
    .poll(async () => (await port.readSnapshot(snapshotId))?.networkAccess)
    .toEqual({ ...closed, diskAccessId: other });
  const { subscriptionId } = resourceGroupOf(snapshotId);
  expect(await port.listUsedDiskAccesses(subscriptionId)).toEqual(
    new Map([[other.toLowerCase(), [snapshotId]]]),
  );
  await expect(port.startDeleteDiskAccess(other)).rejects.toMatchObject({
    code: "OperationNotAllowed",
  });
  await port.startDeleteDiskAccess(diskAccessId);
  await expect.poll(() => port.readDiskAccess(diskAccessId)).toBeUndefined();
  await port.startDeleteDiskAccess(diskAccessId);

  const sas = await port.grantAccess(snapshotId, "Read", 600, signal);
  const head = await fetch(sas, { method: "HEAD" });
  expect(Number(head.headers.get("content-length"))).toBe((snapshot?.sizeBytes ?? 0) + 512);
  await port.revokeAccess(snapshotId, signal);
  expect((await fetch(sas, { method: "HEAD" })).status).toBe(403);

  await port.startDeleteSnapshot(snapshotId);
  await expect.poll(() => port.readSnapshot(snapshotId)).toBeUndefined();
  await port.startDeleteSnapshot(snapshotId);
  await port.revokeAccess(snapshotId, signal);
});

async function makeDiskAccess(name: string): Promise<string> {
  const diskAccessId = diskId("x").replace("/disks/x", `/diskAccesses/${name}`);
  await port.startDiskAccess({ diskAccessId, location: region, tags: { owner: "adapter" } });
  await expect
    .poll(async () => (await port.readDiskAccess(diskAccessId))?.provisioning)
    .toBe("succeeded");
  return diskAccessId;
}

test("an upload disk waits for its content; the same request again is a success", async () => {
  const request = {
    diskId: diskId("upload"),
    location: region,
    zones: [],
    sizeBytes: 20 * 1024 * 1024,
    skuName: "Standard_LRS",
    osType: "Linux" as const,
    hyperVGeneration: "V2",
    diskAccessId: await makeDiskAccess("uploads"),
    tags: { owner: "adapter" },
  };
  await port.startUploadDisk(request);
  await expect
    .poll(async () => (await port.readDisk(request.diskId))?.diskState)
    .toBe("ReadyToUpload");
  await port.startUploadDisk(request);
  const sas = await port.grantAccess(request.diskId, "Write", 600, signal);
  expect(sas).toMatch(/^https:/);
  expect(await port.readDisk(request.diskId)).toMatchObject({ diskState: "ActiveUpload" });
  await using writer = createDiskData().openWriter(sas, request.sizeBytes);
  await writer.finish(signal);
  await port.revokeAccess(request.diskId, signal);
  await expect
    .poll(async () => (await port.readDisk(request.diskId))?.diskState)
    .toBe("Unattached");

  // What could not be set beside a disk access while it was written.
  const setId =
    resourceGroupIdOf(request.diskId) + "/providers/Microsoft.Compute/diskEncryptionSets/keys";
  await cloud.client.diskEncryptionSets.createOrUpdate(group, "keys", { location: region }, quick);
  const open = { policy: "AllowAll", publicAccess: true } as const;
  await port.startDiskSettings(request.diskId, { networkAccess: open, diskEncryptionSetId: setId });
  await expect
    .poll(async () => (await port.readDisk(request.diskId))?.settings)
    .toMatchObject({ networkAccess: open, diskEncryptionSetId: setId });
  await port.startDeleteDisk(request.diskId);
  await expect.poll(() => port.readDisk(request.diskId)).toBeUndefined();
});

test("a worker is made, runs its command, and takes its disk with it", async () => {
  const identityType = "Microsoft.ManagedIdentity/userAssignedIdentities";
  const identityResourceId = resourceId(identityType, "workers");
  const { resources, context } = cloud.manager;
  resources.put(identityResourceId, { body: { location: region, properties: {} } });
  context.principals.create({
    kind: "UserAssigned",
    displayName: "workers",
    resourceId: identityResourceId,
  });
  const vmResourceId = vmId("worker");
  const request = {
    vmResourceId,
    nicId: cloud.nic("worker-nic"),
    location: region,
    vmSize: "Standard_F2s_v2",
    image: { kind: "marketplace", urn: "Canonical:ubuntu-24_04-lts:server:24.04.202610140" },
    priority: "regular",
    osDisk: "managed",
    identityResourceId,
    tags: { owner: "worker" },
  } as const;
  await port.startWorkerVm(request);
  await expect
    .poll(async () => (await port.readVmProvisioning(vmResourceId))?.provisioning)
    .toBe("succeeded");
  await port.startWorkerVm(request);
  await port.startRunCommand({
    vmResourceId,
    name: "install",
    location: region,
    script: 'echo "$GREETING $SECRET"; exit 3',
    parameters: { GREETING: "hello" },
    protectedParameters: { SECRET: "you" },
    timeoutSeconds: 60,
  });
  await expect
    .poll(async () => (await port.readRunCommand(vmResourceId, "install"))?.executionState, {
      timeout: 10_000,
    })
    .toBe("Failed");
  const state = await port.readRunCommand(vmResourceId, "install");
  expect(state).toMatchObject({ exitCode: 3, output: expect.stringContaining("hello you") });
  expect(await port.readWorkerVm(vmResourceId)).toEqual({
    provisioning: "succeeded",
    power: "running",
    failureCode: undefined,
  });
  const power = async () => (await port.readWorkerVm(vmResourceId))?.power;
  await port.startDeallocateVm(vmResourceId);
  await expect.poll(power, { timeout: 10_000 }).toBe("deallocated");
  await port.startPowerOnVm(vmResourceId);
  await expect.poll(power, { timeout: 10_000 }).toBe("running");
  await port.startDeleteVm(vmResourceId);
  await expect
    .poll(() => port.readVmProvisioning(vmResourceId), { timeout: 10_000 })
    .toBeUndefined();
});
