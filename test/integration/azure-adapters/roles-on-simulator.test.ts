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
const diskAccessId = resourceId("Microsoft.Compute/diskAccesses", "holdfast");
/** The groups of the control plane, of private DNS zones and of repositories. */
const hubGroup = `${subscription}/resourceGroups/hub`;
const zoneGroup = `${subscription}/resourceGroups/zones`;
const repositoryGroup = `${subscription}/resourceGroups/repositories`;
const hubId = `${hubGroup}/providers/Microsoft.Network/virtualNetworks/hub`;
const zoneId = `${zoneGroup}/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net`;
const repositoryId = `${repositoryGroup}/providers/Microsoft.Storage/storageAccounts/holdfastrepository`;
const subnetId = `${subnetOwner}/subnets/workers`;
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

/** A principal with some roles of `infra/roles`, and what it does. */
function withRoles(scopes: Readonly<Record<string, string>>): Role {
  const { resources, context } = cloud.manager;
  const names = Object.keys(scopes);
  const principal = context.principals.create({
    kind: "ServicePrincipal",
    displayName: names.join(" "),
  });
  const actions = new Set<string>();
  for (const [name, scope] of Object.entries(scopes)) {
    const path = join(import.meta.dirname, "../../../infra/roles", `${name}.json`);
    const role = roleSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    const guid = randomUUID();
    const roleName = `${role.Name} ${guid}`;
    const permissions = [{ actions: role.Actions }];
    resources.put(`${subscription}/providers/Microsoft.Authorization/roleDefinitions/${guid}`, {
      body: {
        properties: { roleName, type: "CustomRole", permissions, assignableScopes: [subscription] },
      },
    });
    cloud.manager.assignRole({ principalId: principal.objectId, role: guid, scope });
    for (const action of role.Actions) actions.add(action);
  }
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
      [...actions].filter(
        (action) => !pollActions.test(action) && !asked.has(action.toLowerCase()),
      ),
  };
}

/** Of somebody who may do all: for what others have made before. */
function ownerPorts(): Pick<Role, "compute" | "region"> {
  const { credential, manager } = cloud;
  const options = { credential, resourceManagerUrl: manager.endpoint };
  return { compute: createCompute(options), region: createRegion(options) };
}

async function ready(read: () => Promise<{ provisioning: string } | undefined>): Promise<void> {
  await expect
    .poll(async () => (await read())?.provisioning, { timeout: 10_000 })
    .toBe("succeeded");
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
  const { compute, unused } = withRoles({ "holdfast-source": subscription });
  expect(await collect(compute.listVms(subscription.split("/")[2] ?? ""))).toHaveLength(1);
  const vm = await compute.readVm(vmId("source"));
  const snapshotId = resourceId("Microsoft.Compute/snapshots", "s");
  const sourceDiskId = vm?.osDisk.resourceId ?? "";
  const owner = ownerPorts();
  for (const id of [diskAccessId, `${diskAccessId}-other`]) {
    await owner.compute.startDiskAccess({ diskAccessId: id, location: region, tags: {} });
    await ready(() => owner.compute.readDiskAccess(id));
  }
  const tags = { own: "1" };
  await compute.startSnapshot({ snapshotId, sourceDiskId, location: region, tags, diskAccessId });
  await expect
    .poll(async () => (await compute.readSnapshot(snapshotId))?.provisioning)
    .toBe("succeeded");
  expect(
    await collect(compute.listOwned(subscription.split("/")[2] ?? "", "own", "1")),
  ).toHaveLength(1);
  await compute.startSnapshotAccess(snapshotId, `${diskAccessId}-other`);
  await ready(() => compute.readSnapshot(snapshotId));
  expect(await compute.listUsedDiskAccesses(subscription.split("/")[2] ?? "")).toEqual(
    new Map([[`${diskAccessId}-other`.toLowerCase(), [snapshotId]]]),
  );
  await compute.grantAccess(snapshotId, "Read", 600, signal);
  await compute.revokeAccess(snapshotId, signal);
  await compute.startDeleteSnapshot(snapshotId);
  expect(unused()).toEqual([]);
});

test("roles of regions: make private networks, staging accounts and workers, and remove them", async () => {
  const owner = ownerPorts();
  for (const id of [hubGroup, zoneGroup, repositoryGroup]) {
    cloud.manager.resources.put(id, { body: { location: region, properties: {} } });
  }
  const hubSecurity = `${hubGroup}/providers/Microsoft.Network/networkSecurityGroups/hub`;
  const bare = { location: region, rules: [], tags: {} };
  await owner.region.startSecurityGroup({ securityGroupId: hubSecurity, ...bare });
  await ready(() => owner.region.readSecurityGroup(hubSecurity));
  const place = { location: region, tags: {} };
  await owner.region.startNetwork({
    ...place,
    networkId: hubId,
    addressPrefix: "10.8.0.0/24",
    subnetName: "endpoints",
    securityGroupId: hubSecurity,
  });
  await ready(() => owner.region.readNetwork(hubId));
  await owner.region.startStagingAccount(repositoryId, region, {});

  const {
    compute,
    region: port,
    principalId,
    unused,
  } = withRoles({
    "holdfast-workers": groupId,
    "holdfast-disk-accesses": groupId,
    "holdfast-hub": hubGroup,
    "holdfast-private-dns": zoneGroup,
    "holdfast-shared-account": repositoryGroup,
  });
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
  await port.startSecurityGroup({ securityGroupId, ...bare });
  await ready(() => port.readSecurityGroup(securityGroupId));
  const network = {
    networkId: subnetOwner,
    subnetName: "workers",
    securityGroupId,
    addressPrefix: "10.9.0.0/24",
  };
  await port.startNetwork({ ...network, ...place });
  await ready(() => port.readNetwork(subnetOwner));
  // This one has no room in its network.
  await expect(port.startSubnet({ ...network, subnetName: "more" })).rejects.toMatchObject({
    code: "NetcfgSubnetRangesOverlap",
  });
  await port.readRoutes(resourceId("Microsoft.Network/routeTables", "none"));
  const peerings = [
    [`${subnetOwner}/virtualNetworkPeerings/hub`, hubId],
    [`${hubId}/virtualNetworkPeerings/workers`, subnetOwner],
  ] as const;
  for (const [peeringId, remoteId] of peerings) {
    await port.startPeering(peeringId, remoteId);
    await ready(() => port.readNetwork(subnetOwner));
    await ready(() => port.readNetwork(hubId));
  }
  const accountId = resourceId("Microsoft.Storage/storageAccounts", "holdfaststaging");
  await port.startStagingAccount(accountId, region, { own: "1" });
  const subscriptionId = subscription.split("/")[2] ?? "";
  await expect
    .poll(async () => (await collect(port.listStorageAccounts(subscriptionId))).length)
    .toBe(2);
  await port.secureStagingAccount(accountId);
  await port.writeLifecycleRule(accountId);
  expect(await port.readLifecycleRules(accountId)).toHaveLength(1);
  await compute.startDiskAccess({ diskAccessId: `${diskAccessId}-region`, ...place });
  await ready(() => compute.readDiskAccess(`${diskAccessId}-region`));
  expect(await collect(compute.listDiskAccesses(groupId, "own", "1"))).toEqual([]);
  await port.startZone(zoneId, {});
  await ready(() => port.readZone(zoneId));
  for (const [name, networkId] of [
    ["workers", subnetOwner],
    ["hub", hubId],
  ] as const) {
    await port.startZoneLink(`${zoneId}/virtualNetworkLinks/${name}`, networkId, {});
  }
  const hubSubnet = `${hubId}/subnets/endpoints`;
  for (const [name, targetId, endpointSubnet, service] of [
    ["staging", accountId, subnetId, "blob"],
    ["repository", repositoryId, hubSubnet, "blob"],
    ["disks", `${diskAccessId}-region`, subnetId, "disks"],
  ] as const) {
    const endpointId = resourceId("Microsoft.Network/privateEndpoints", name);
    await port.startPrivateEndpoint({
      ...place,
      endpointId,
      targetId,
      subnetId: endpointSubnet,
      service,
    });
    const find = async () =>
      (await collect(port.listPrivateEndpoints(subscriptionId))).find(
        (each) => each.endpointId === endpointId,
      );
    await ready(find);
    const found = await find();
    expect(found?.connection).toBe("Approved");
    await port.startZoneGroup(endpointId, zoneId);
    if (found !== undefined) await port.readEndpointDns(found);
  }
  await port.readAddressRecord(zoneId, "holdfaststaging");
  const nicId = resourceId("Microsoft.Network/networkInterfaces", "worker-nic");
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
    image: { kind: "marketplace", urn: "Canonical:ubuntu-24_04-lts:server:24.04.202610140" },
    priority: "regular",
    osDisk: "managed",
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
  await expect
    .poll(() => compute.startDeallocateVm(vmResourceId).then(() => "sent", String))
    .toBe("sent");
  await expect
    .poll(async () => (await compute.readWorkerVm(vmResourceId))?.power)
    .toBe("deallocated");
  await compute.startPowerOnVm(vmResourceId);
  await expect.poll(async () => (await compute.readWorkerVm(vmResourceId))?.power).toBe("running");
  await compute.startDeleteVm(vmResourceId);
  await expect
    .poll(() => compute.readVmProvisioning(vmResourceId), { timeout: 10_000 })
    .toBeUndefined();
  // What a sweep finds of a worker that was made halfway.
  const leftDisk = await createEmptyDisk(cloud, "left");
  expect(await compute.readDisk(leftDisk)).toBeDefined();
  await compute.startDeleteDisk(leftDisk);
  await compute.startDeleteNic(nicId);
  for (const [peeringId] of peerings) {
    await port.startDeletePeering(peeringId);
    await ready(() => port.readNetwork(subnetOwner));
    await ready(() => port.readNetwork(hubId));
  }
  await port.startDeletePrivateEndpoint(resourceId("Microsoft.Network/privateEndpoints", "disks"));
  await expect
    .poll(() => compute.startDeleteDiskAccess(`${diskAccessId}-region`).then(() => "sent", String))
    .toBe("sent");
  expect(unused()).toEqual([]);
});

test("role holdfast-restore: makes disks, NICs and a VM, and undoes it", async () => {
  const { compute, unused } = withRoles({ "holdfast-restore": groupId });
  const target = diskId("restored-os");
  const { sizeBytes, skuName } = source.osDisk;
  const upload = {
    diskId: target,
    location: region,
    zones: [],
    sizeBytes,
    skuName,
    tags: {},
    diskAccessId,
  };
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
    subnetId,
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
