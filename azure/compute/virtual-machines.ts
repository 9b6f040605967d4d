import type { NetworkInterface } from "@azure/arm-network";
import type { Disk, VirtualMachine } from "@azure/arm-compute";
import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import type { VmSummary } from "#core/model/vm-configuration.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import { callAzure, listAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";
import { attachVmBody } from "./attach-vm-body.ts";
import { provisioningOf } from "./provisioning.ts";
import { vmConfigurationOf } from "./vm-configuration.ts";

type VirtualMachineCalls = Pick<
  ComputePort,
  "listVms" | "readVm" | "readVmProvisioning" | "startAttachVm" | "startDeleteVm"
>;

/** Reads of one VM's disks and NICs at the same time; far below the throttle of a subscription. */
const PARALLEL_READS_MAX = 8;

export function createVirtualMachines(clientsOf: ClientsOf): VirtualMachineCalls {
  function readAzureVm(vmResourceId: string): Promise<VirtualMachine | undefined> {
    const { subscriptionId, resourceGroup, names } = parseResourceId(vmResourceId);
    return readAzure(`read virtual machine ${vmResourceId}`, () =>
      clientsOf(subscriptionId).compute.virtualMachines.get(resourceGroup, names[0]),
    );
  }

  async function startVm(vmResourceId: string, body: VirtualMachine): Promise<void> {
    const { subscriptionId, resourceGroup, names } = parseResourceId(vmResourceId);
    await callAzure(`create virtual machine ${vmResourceId}`, () =>
      submit(() =>
        clientsOf(subscriptionId).compute.virtualMachines.createOrUpdate(
          resourceGroup,
          names[0],
          body,
        ),
      ),
    );
  }

  return {
    async *listVms(subscriptionId) {
      const { compute } = clientsOf(subscriptionId);
      const action = `list virtual machines of ${subscriptionId}`;
      for await (const vm of listAzure(action, () => compute.virtualMachines.listAll())) {
        const summary = summaryOf(vm);
        if (summary !== undefined) yield summary;
      }
    },

    async readVm(vmResourceId) {
      const vm = await readAzureVm(vmResourceId);
      if (vm === undefined) return undefined;
      const reads: (() => Promise<FoundPart>)[] = [
        ...diskIdsOf(vm).map((id) => () => readDiskPart(clientsOf, id)),
        ...nicIdsOf(vm).map((id) => () => readNicPart(clientsOf, id)),
      ];
      const parts = await mapBounded(reads, PARALLEL_READS_MAX, (read) => read());
      return vmConfigurationOf(vm, {
        disks: new Map(
          parts.flatMap((part) => (part.kind === "disk" ? [[part.id, part.disk]] : [])),
        ),
        nics: new Map(parts.flatMap((part) => (part.kind === "nic" ? [[part.id, part.nic]] : []))),
      });
    },

    async readVmProvisioning(vmResourceId) {
      const vm = await readAzureVm(vmResourceId);
      return vm === undefined ? undefined : { provisioning: provisioningOf(vm.provisioningState) };
    },

    async startAttachVm(request) {
      await startVm(request.vmResourceId, attachVmBody(request));
    },

    async startDeleteVm(vmResourceId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(vmResourceId);
      await readAzure(`delete virtual machine ${vmResourceId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.virtualMachines.delete(resourceGroup, names[0]),
        ),
      );
    },
  };
}

type FoundPart =
  | { readonly kind: "disk"; readonly id: string; readonly disk: Disk }
  | { readonly kind: "nic"; readonly id: string; readonly nic: NetworkInterface };

async function readDiskPart(clientsOf: ClientsOf, id: string): Promise<FoundPart> {
  const { subscriptionId, resourceGroup, names } = parseResourceId(id);
  const disk = await readAzure(`read disk ${id}`, () =>
    clientsOf(subscriptionId).compute.disks.get(resourceGroup, names[0]),
  );
  if (disk === undefined) throw vanished("disk", id);
  return { kind: "disk", id: id.toLowerCase(), disk };
}

async function readNicPart(clientsOf: ClientsOf, id: string): Promise<FoundPart> {
  const { subscriptionId, resourceGroup, names } = parseResourceId(id);
  const nic = await readAzure(`read network interface ${id}`, () =>
    clientsOf(subscriptionId).network.networkInterfaces.get(resourceGroup, names[0]),
  );
  if (nic === undefined) throw vanished("network interface", id);
  return { kind: "nic", id: id.toLowerCase(), nic };
}

/** The VM was changed between two reads. */
function vanished(kind: string, id: string): HoldfastError {
  return new HoldfastError(
    "VmChanged",
    `The ${kind} ${id} went away while its virtual machine was read. Trying again reads the new state.`,
    { retry: "backoff" },
  );
}

function diskIdsOf(vm: VirtualMachine): string[] {
  const disks = [vm.storageProfile?.osDisk, ...(vm.storageProfile?.dataDisks ?? [])];
  return disks.flatMap((disk) => disk?.managedDisk?.id ?? []);
}

function nicIdsOf(vm: VirtualMachine): string[] {
  return (vm.networkProfile?.networkInterfaces ?? []).flatMap((nic) => nic.id ?? []);
}

function summaryOf(vm: VirtualMachine): VmSummary | undefined {
  // A VM that is just being made may be listed without its id.
  if (vm.id === undefined || vm.vmId === undefined || vm.name === undefined) return undefined;
  const osDiskCount = vm.storageProfile?.osDisk === undefined ? 0 : 1;
  return {
    vmId: vm.vmId,
    resourceId: vm.id,
    name: vm.name,
    location: vm.location,
    vmSize: vm.hardwareProfile?.vmSize ?? "",
    tags: vm.tags ?? {},
    diskCount: osDiskCount + (vm.storageProfile?.dataDisks?.length ?? 0),
  };
}
