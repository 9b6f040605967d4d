import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { workerVmBody } from "#azure/compute/worker-vm-body.ts";
import { sayTypeDataIsMissing } from "../../conformance/body-recorder.ts";
import { loadTypeChecker } from "../../conformance/type-data.ts";
import {
  attachBody,
  createEmptyDisk,
  diskId,
  group,
  imageBody,
  quick,
  refusalOf,
  region,
  resourceId,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "./compute-cloud.ts";

const checker = loadTypeChecker();
let cloud: ComputeCloud;

beforeAll(async () => {
  cloud = await startComputeCloud();
});
afterAll(async () => cloud.close());

it("answers bodies that Azure's resource types allow", async () => {
  if (checker === undefined) {
    sayTypeDataIsMissing();
    return;
  }
  const { client } = cloud;
  const raw: unknown[] = [];
  const seen = {
    onResponse: (response: { parsedBody?: unknown; bodyAsText?: string | null }) => {
      raw.push(response.parsedBody ?? JSON.parse(response.bodyAsText ?? "null"));
    },
  };
  const os = await createEmptyDisk(cloud, "os", { osType: "Linux", zones: ["1"] });
  const data = await createEmptyDisk(cloud, "data", { zones: ["1"] });
  const access = await client.diskAccesses.createOrUpdate(
    group,
    "access",
    { location: region },
    quick,
  );
  await client.snapshots.createOrUpdate(
    group,
    "snapshot",
    {
      location: region,
      incremental: true,
      creationData: { createOption: "Copy", sourceResourceId: os },
      networkAccessPolicy: "AllowPrivate",
      diskAccessId: access.id ?? "",
      publicNetworkAccess: "Disabled",
    },
    quick,
  );
  const attached = attachBody(os, [cloud.nic("nic-1")], [{ lun: 0, id: data }]);
  const { virtualMachines, virtualMachineRunCommands } = client;
  await virtualMachines.createOrUpdate(group, "attached", { ...attached, zones: ["1"] }, quick);
  const worker = imageBody(cloud.nic("nic-2"), { identity: { type: "SystemAssigned" } });
  await virtualMachines.createOrUpdate(group, "worker", worker, quick);
  const command = { location: region, source: { script: "true" } };
  await virtualMachineRunCommands.createOrUpdate(group, "worker", "run", command, quick);

  await client.disks.get(group, "data", seen);
  await client.snapshots.get(group, "snapshot", seen);
  await client.diskAccesses.get(group, "access", seen);
  await virtualMachines.get(group, "attached", { expand: "instanceView", ...seen });
  await virtualMachines.get(group, "worker", { expand: "instanceView", ...seen });
  await virtualMachineRunCommands.getByVirtualMachine(group, "worker", "run", {
    expand: "instanceView",
    ...seen,
  });
  expect(raw).toHaveLength(6);
  const wrong = { location: region, properties: { diskSizeGB: "4", noSuchProperty: 1 } };
  expect(checker.check("Microsoft.Compute/disks", wrong, "response")).not.toEqual([]);
  for (const body of raw) {
    const { type } = body as { type: string };
    expect({ type, findings: checker.check(type, body, "response") }).toEqual({
      type,
      findings: [],
    });
  }
});

it("takes the body that the control plane sends for a worker", async () => {
  const identityResourceId = resourceId(
    "Microsoft.ManagedIdentity/userAssignedIdentities",
    "worker",
  );
  cloud.manager.resources.put(identityResourceId, { body: { location: region, properties: {} } });
  cloud.manager.context.principals.create({
    kind: "UserAssigned",
    displayName: "worker",
    resourceId: identityResourceId,
  });
  const body = workerVmBody({
    vmResourceId: vmId("real-worker"),
    nicId: cloud.nic("real-worker-nic"),
    location: region,
    vmSize: "Standard_F4s_v2",
    image: { kind: "marketplace", urn: "Canonical:ubuntu-24_04-lts:server:24.04.202610140" },
    priority: "regular",
    osDisk: "managed",
    identityResourceId,
    tags: {},
  });
  const vm = await cloud.client.virtualMachines.createOrUpdate(group, "real-worker", body, quick);
  expect(vm).toMatchObject({
    provisioningState: "Succeeded",
    securityProfile: { securityType: "TrustedLaunch" },
  });
  const [assigned] = Object.values(vm.identity?.userAssignedIdentities ?? {});
  expect(assigned?.clientId).toMatch(/^[\da-f-]{36}$/);
});

it("imports an offered image file once, with whole sectors", async () => {
  const file = join(cloud.directory, "image.raw");
  await writeFile(file, Buffer.alloc(1000, 5));
  const sourceUri = pathToFileURL(file).href;
  const create = (name: string) =>
    cloud.client.disks.createOrUpdate(
      group,
      name,
      { location: region, creationData: { createOption: "Import", sourceUri } },
      quick,
    );
  cloud.provider.offerFile(sourceUri);
  expect(await create("imported")).toMatchObject({ diskSizeBytes: 1024, diskState: "Unattached" });
  const bytes = await cloud.disks.guestRead(diskId("imported").toLowerCase(), 512, 512);
  expect([bytes[0], bytes[487], bytes[488]]).toEqual([5, 5, 0]);
  expect(await refusalOf(create("again"))).toBe("400 InvalidParameter");
});
