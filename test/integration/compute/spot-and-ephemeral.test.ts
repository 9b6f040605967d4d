import { afterAll, beforeAll, expect, it } from "vitest";
import type { VirtualMachine } from "@azure/arm-compute";
import {
  group,
  imageBody,
  quick,
  refusalOf,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "./compute-cloud.ts";

let cloud: ComputeCloud;
beforeAll(async () => {
  cloud = await startComputeCloud();
});
afterAll(async () => {
  await cloud.close();
});

const create = (name: string, body: VirtualMachine) =>
  cloud.client.virtualMachines.createOrUpdate(group, name, body, quick);

/** A worker's body: its NIC and its disk go with it. */
function workerBody(name: string, more: Partial<VirtualMachine>): VirtualMachine {
  const body = imageBody(cloud.nic(`${name}-nic`), { tags: { owner: name }, ...more });
  const [nic] = body.networkProfile?.networkInterfaces ?? [];
  return {
    ...body,
    networkProfile: { networkInterfaces: [{ ...nic, deleteOption: "Delete" }] },
  };
}

it("an evicted Spot VM goes with all that is its own, its processes too", async () => {
  const before = cloud.manager.resources.descendants("").length;
  const spot = { priority: "Spot", evictionPolicy: "Delete" } as const;
  const vm = await create("spot", workerBody("spot", spot));
  await cloud.client.virtualMachineRunCommands.createOrUpdate(
    group,
    "spot",
    "sleep",
    { location: "westeurope", source: { script: "sleep 300" }, asyncExecution: true },
    quick,
  );
  const running = () => cloud.host.listProcesses(vm.vmId ?? "");
  await expect.poll(async () => (await running()).length, { timeout: 10_000 }).toBeGreaterThan(0);
  await cloud.provider.evict(vmId("spot"));
  expect(await running()).toEqual([]);
  expect(await refusalOf(cloud.client.virtualMachines.get(group, "spot"))).toBe(
    "404 ResourceNotFound",
  );
  expect(cloud.manager.resources.descendants("")).toHaveLength(before);
});

it("a regular VM is never evicted", async () => {
  await create("regular", workerBody("regular", {}));
  await expect(cloud.provider.evict(vmId("regular"))).rejects.toThrow("is not a Spot VM");
});

it("the OS disk that comes with a VM has its tags", async () => {
  const vm = await create("tagged", workerBody("tagged", {}));
  const name = vm.storageProfile?.osDisk?.name ?? "";
  expect((await cloud.client.disks.get(group, name)).tags).toEqual({ owner: "tagged" });
});

/** A VM whose OS disk is on the machine that it runs on. */
function ephemeralBody(name: string, vmSize: string, caching: "ReadOnly" | "ReadWrite") {
  const body = workerBody(name, { hardwareProfile: { vmSize } });
  const { imageReference, osDisk } = body.storageProfile ?? {};
  const settings = { option: "Local", placement: "CacheDisk" } as const;
  const local = { createOption: "FromImage", ...osDisk, caching, diffDiskSettings: settings };
  return { ...body, storageProfile: { imageReference, osDisk: local } } as VirtualMachine;
}

it("an ephemeral OS disk needs a cache with room and is never deallocated", async () => {
  expect(await refusalOf(create("tiny", ephemeralBody("tiny", "Standard_B2s", "ReadOnly")))).toBe(
    "400 InvalidParameter",
  );
  const cached = ephemeralBody("cached", "Standard_F2s_v2", "ReadWrite");
  expect(await refusalOf(create("cached", cached))).toBe("400 InvalidParameter");
  await create("local", ephemeralBody("local", "Standard_F2s_v2", "ReadOnly"));
  const deallocate = cloud.client.virtualMachines.deallocate(group, "local", quick);
  expect(await refusalOf(deallocate)).toBe("409 OperationNotAllowed");
});
