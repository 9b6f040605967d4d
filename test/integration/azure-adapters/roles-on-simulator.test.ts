import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { createCompute } from "#azure/compute/compute.ts";
import { createDiskData } from "#azure/disk/disk-data.ts";
import { createRegion } from "#azure/network/region.ts";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import type { RegionPort } from "#core/ports/region.ts";
import { managedIdentityProvider } from "#local/resource-manager/managed-identity/provider.ts";
import { storageProvider } from "#local/resource-manager/storage/provider.ts";
import {
  attachBody,
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
import { MemoryStorage } from "../resource-manager/simulated-cloud.ts";

/**
 * The roles of `infra/roles` are what the control plane gets: each test does with one role alone
 * everything that it is for. A missing action is Azure's 403; one that nothing needs is reported.
 */
const roleSchema = z.object({ Name: z.string(), Actions: z.array(z.string()) });
/** Azure asks for these where a client polls an operation; the local Azure lets everyone poll. */
const pollActions = /^Microsoft\.\w+\/locations\//;
const signal = new AbortController().signal;
const subscription = resourceId("x", "y").split("/").slice(0, 3).join("/");
const groupId = `${subscription}/resourceGroups/${group}`;
const subnetOwner = resourceId("Microsoft.Network/virtualNetworks", "holdfast");
const securityGroupId = resourceId("Microsoft.Network/networkSecurityGroups", "holdfast");
let cloud: ComputeCloud;

beforeAll(async () => {
  const storage = new MemoryStorage();
  cloud = await startComputeCloud({
    moreProviders: [
      managedIdentityProvider,
      storageProvider({ backend: storage, entities: storage }),
    ],
  });
  const ca = readFileSync(join(cloud.directory, "tls", "ca.pem"), "utf8");
  setDefaultCACertificates([...getCACertificates("default"), ca]);
});
afterAll(async () => cloud?.close());

interface Role {
  readonly compute: ComputePort;
  readonly region: RegionPort;
  readonly principalId: string;
  /** Actions of the role that nothing has asked for. */
  readonly unused: () => string[];
}

/** A principal with one role of `infra/roles`, and what it does. */
function withRole(name: string, scope: string): Role {
  const path = join(import.meta.dirname, "../../../infra/roles", `${name}.json`);
  const role = roleSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  const guid = randomUUID();
  const { resources, context } = cloud.manager;
  resources.put(`${subscription}/providers/Microsoft.Authorization/roleDefinitions/${guid}`, {
    body: {
      properties: {
        roleName: role.Name,
        type: "CustomRole",
        permissions: [{ actions: role.Actions }],
        assignableScopes: [subscription],
      },
    },
  });
  const principal = context.principals.create({ kind: "ServicePrincipal", displayName: name });
  cloud.manager.assignRole({ principalId: principal.objectId, role: guid, scope });
  const asked = new Set<string>();
  cloud.manager.onRequest(({ principalId, action, linkedActions }) => {
    if (principalId !== principal.objectId) return;
    for (const each of [action, ...linkedActions]) asked.add((each ?? "").toLowerCase());
  });
  const options = {
    credential: cloud.credentialOf(principal),
    resourceManagerUrl: cloud.manager.endpoint,
  };
  return {
    compute: createCompute(options),
    region: createRegion(options),
    principalId: principal.objectId,
    unused: () =>
      role.Actions.filter(
        (action) => !pollActions.test(action) && !asked.has(action.toLowerCase()),
      ),
  };
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function makeSource(): Promise<VmConfiguration> {
  const osDisk = await createEmptyDisk(cloud, "source-os", { osType: "Linux" });
  const body = attachBody(osDisk, [cloud.nic("source-nic")]);
  await cloud.client.virtualMachines.createOrUpdate(group, "source", body, quick);
  const port = createCompute({
    credential: cloud.credential,
    resourceManagerUrl: cloud.manager.endpoint,
  });
  const vm = await port.readVm(vmId("source"));
  if (vm === undefined) throw new Error("no VM");
  return vm;
}

let source: VmConfiguration;

test("role holdfast-source: reads VMs, takes and exports snapshots", async () => {
  source = await makeSource();
  const { compute, unused } = withRole("holdfast-source", subscription);
  expect(await collect(compute.listVms(subscription.split("/")[2] ?? ""))).toHaveLength(1);
  const vm = await compute.readVm(vmId("source"));
  const snapshotId = resourceId("Microsoft.Compute/snapshots", "s");
  const sourceDiskId = vm?.osDisk.resourceId ?? "";
  await compute.startSnapshot({ snapshotId, sourceDiskId, location: region, tags: { own: "1" } });
  await expect
    .poll(async () => (await compute.readSnapshot(snapshotId))?.provisioning)
    .toBe("succeeded");
  expect(
    await collect(compute.listOwned(subscription.split("/")[2] ?? "", "own", "1")),
  ).toHaveLength(1);
  await compute.grantAccess(snapshotId, "Read", 600, signal);
  await compute.revokeAccess(snapshotId, signal);
  await compute.startDeleteSnapshot(snapshotId);
  expect(unused()).toEqual([]);
});

test("role holdfast-workers: makes networks, staging accounts and workers, and removes them", async () => {
  const { compute, region: port, principalId, unused } = withRole("holdfast-workers", groupId);
  const identityType = "Microsoft.ManagedIdentity/userAssignedIdentities";
  const identityResourceId = resourceId(identityType, "workers");
  cloud.manager.resources.put(identityResourceId, { body: { location: region, properties: {} } });
  cloud.manager.context.principals.create({
    kind: "UserAssigned",
    displayName: "workers",
    resourceId: identityResourceId,
  });
  const role = "Managed Identity Operator";
  cloud.manager.assignRole({ principalId, role, scope: identityResourceId });
  const network = {
    virtualNetworkId: subnetOwner,
    subnetName: "workers",
    networkSecurityGroupId: securityGroupId,
    location: region,
    addressPrefix: "10.9.0.0/24",
    tags: {},
  };
  await port.startNetwork(network);
  await expect
    .poll(async () => (await port.readNetwork(subnetOwner, "workers"))?.provisioning)
    .toBe("succeeded");
  // Only a missing subnet is added to a network that exists; this one has no room for it.
  await port.startNetwork({ ...network, subnetName: "more", addressPrefix: "10.9.0.0/24" }).then(
    () => expect.unreachable("the address range is taken"),
    (error: unknown) => expect(error).toMatchObject({ code: "NetcfgSubnetRangesOverlap" }),
  );
  const accountId = resourceId("Microsoft.Storage/storageAccounts", "holdfaststaging");
  await port.startStagingAccount({ accountId, location: region, tags: { own: "1" } });
  expect(await port.findStagingAccount(groupId, region, "own", "1")).toBeDefined();
  const nicId = resourceId("Microsoft.Network/networkInterfaces", "worker-nic");
  const subnetId = `${subnetOwner}/subnets/workers`;
  const nic = { nicId, location: region, subnetId, enableAcceleratedNetworking: true, tags: {} };
  await compute.startNic({ ...nic, networkSecurityGroupId: securityGroupId });
  await expect
    .poll(async () => (await compute.readNicProvisioning(nicId))?.provisioning)
    .toBe("succeeded");
  const vmResourceId = vmId("worker");
  await compute.startWorkerVm({
    vmResourceId,
    nicId,
    location: region,
    vmSize: "Standard_F2s_v2",
    imageUrn: "Canonical:ubuntu-24_04-lts:server:24.04.202610140",
    identityResourceId,
    tags: {},
  });
  await expect
    .poll(async () => (await compute.readVmProvisioning(vmResourceId))?.provisioning)
    .toBe("succeeded");
  await compute.startRunCommand({
    vmResourceId,
    name: "install",
    location: region,
    script: "exit 0",
    parameters: {},
    protectedParameters: {},
    timeoutSeconds: 60,
  });
  await compute.readRunCommand(vmResourceId, "install");
  await compute.startDeleteVm(vmResourceId);
  await expect
    .poll(() => compute.readVmProvisioning(vmResourceId), { timeout: 10_000 })
    .toBeUndefined();
  // What a sweep finds of a worker that was made halfway.
  const leftDisk = await createEmptyDisk(cloud, "left");
  expect(await compute.readDisk(leftDisk)).toBeDefined();
  await compute.startDeleteDisk(leftDisk);
  await compute.startDeleteNic(nicId);
  expect(unused()).toEqual([]);
});

test("role holdfast-restore: makes disks, NICs and a VM, and undoes it", async () => {
  const { compute, unused } = withRole("holdfast-restore", groupId);
  const target = diskId("restored-os");
  const { sizeBytes, skuName } = source.osDisk;
  const upload = { diskId: target, location: region, zones: [], sizeBytes, skuName, tags: {} };
  await compute.startUploadDisk({ ...upload, osType: "Linux" });
  await expect.poll(async () => (await compute.readDisk(target))?.diskState).toBe("ReadyToUpload");
  const sas = await compute.grantAccess(target, "Write", 600, signal);
  await using writer = createDiskData().openWriter(sas, sizeBytes);
  await writer.finish(signal);
  await compute.revokeAccess(target, signal);
  const nicId = resourceId("Microsoft.Network/networkInterfaces", "restored-nic");
  await compute.startNic({
    nicId,
    location: region,
    subnetId: `${subnetOwner}/subnets/workers`,
    networkSecurityGroupId: securityGroupId,
    enableAcceleratedNetworking: false,
    tags: {},
  });
  await expect
    .poll(async () => (await compute.readNicProvisioning(nicId))?.provisioning)
    .toBe("succeeded");
  const vmResourceId = vmId("restored");
  const { vmSize } = source;
  const attach = { vmResourceId, location: region, zones: [], vmSize, osDiskId: target, tags: {} };
  await compute.startAttachVm({ ...attach, dataDisks: [], nicIds: [nicId], source });
  await expect
    .poll(async () => (await compute.readVmProvisioning(vmResourceId))?.provisioning)
    .toBe("succeeded");
  await compute.startDeleteVm(vmResourceId);
  await expect.poll(() => compute.readVmProvisioning(vmResourceId)).toBeUndefined();
  await compute.startDeleteNic(nicId);
  await compute.startDeleteDisk(target);
  expect(unused()).toEqual([]);
});
