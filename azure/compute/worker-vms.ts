import type { VirtualMachine, VirtualMachinesOperations } from "@azure/arm-compute";
import type { ComputePort, WorkerVmState } from "#core/ports/compute.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";
import { provisioningOf } from "./provisioning.ts";
import { workerVmBody } from "./worker-vm-body.ts";

type WorkerVmCalls = Pick<
  ComputePort,
  "startWorkerVm" | "readWorkerVm" | "startDeallocateVm" | "startPowerOnVm"
>;

/** The virtual machines of workers, from their creation to their rest and back. */
export function createWorkerVms(clientsOf: ClientsOf): WorkerVmCalls {
  /** What is called of one VM. */
  function partsOf(vmResourceId: string): {
    readonly machines: VirtualMachinesOperations;
    readonly group: string;
    readonly name: string;
  } {
    const { subscriptionId, resourceGroup, names } = parseResourceId(vmResourceId);
    const machines = clientsOf(subscriptionId).compute.virtualMachines;
    return { machines, group: resourceGroup, name: names[0] };
  }

  function readVm(vmResourceId: string): Promise<VirtualMachine | undefined> {
    const { machines, group, name } = partsOf(vmResourceId);
    return readAzure(`read virtual machine ${vmResourceId}`, () =>
      machines.get(group, name, { expand: "instanceView" }),
    );
  }

  return {
    async startWorkerVm(request) {
      const { vmResourceId } = request;
      // A second PUT would carry another SSH key, which Azure refuses to change.
      if ((await readVm(vmResourceId)) !== undefined) return;
      const { machines, group, name } = partsOf(vmResourceId);
      await callAzure(`create virtual machine ${vmResourceId}`, () =>
        submit(() => machines.createOrUpdate(group, name, workerVmBody(request))),
      );
    },

    async readWorkerVm(vmResourceId) {
      const vm = await readVm(vmResourceId);
      return vm === undefined ? undefined : workerVmStateOf(vm);
    },

    async startDeallocateVm(vmResourceId) {
      const { machines, group, name } = partsOf(vmResourceId);
      await callAzure(`deallocate virtual machine ${vmResourceId}`, () =>
        submit(() => machines.deallocate(group, name)),
      );
    },

    async startPowerOnVm(vmResourceId) {
      const { machines, group, name } = partsOf(vmResourceId);
      await callAzure(`start virtual machine ${vmResourceId}`, () =>
        submit(() => machines.start(group, name)),
      );
    },
  };
}

const POWER_STATES: Readonly<Record<string, WorkerVmState["power"]>> = {
  running: "running",
  starting: "starting",
  stopping: "stopped",
  stopped: "stopped",
  deallocating: "deallocating",
  deallocated: "deallocated",
};

/** `statuses` of the instance view: `PowerState/running`, `ProvisioningState/failed/AllocationFailed`. */
function workerVmStateOf(vm: VirtualMachine): WorkerVmState {
  const codes = (vm.instanceView?.statuses ?? []).flatMap(({ code }) => code ?? []);
  const after = (prefix: string): string | undefined =>
    codes.find((code) => code.startsWith(prefix))?.slice(prefix.length);
  return {
    provisioning: provisioningOf(vm.provisioningState),
    power: POWER_STATES[after("PowerState/")?.toLowerCase() ?? ""] ?? "unknown",
    failureCode: after("ProvisioningState/failed/"),
  };
}
