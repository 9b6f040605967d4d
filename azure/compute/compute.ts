/**
 * Virtual machines, disks and snapshots through Resource Manager. Each file holds one kind of
 * resource: `start*` sends one request and does not wait, `read*` answers `undefined` for what is
 * missing. Bodies are built by pure functions (`*-body.ts`), answers reduced by pure functions.
 */
import type { ComputePort } from "#core/ports/compute.ts";
import { createResourceManagerClients, type ResourceManagerOptions } from "../resource-manager.ts";
import { createDiskAccess } from "./disk-access.ts";
import { createDiskAccesses } from "./disk-accesses.ts";
import { createDisks } from "./disks.ts";
import { createNics } from "./nics.ts";
import { createOwnedResources } from "./owned-resources.ts";
import { createRunCommands } from "./run-commands.ts";
import { createSnapshots } from "./snapshots.ts";
import { createVirtualMachines } from "./virtual-machines.ts";
import { createWorkerVms } from "./worker-vms.ts";

/** Errors of every method are `HoldfastError`s with Azure's code (`azure/errors.ts`). */
export function createCompute(options: ResourceManagerOptions): ComputePort {
  const clientsOf = createResourceManagerClients(options);
  return {
    ...createVirtualMachines(clientsOf),
    ...createWorkerVms(clientsOf),
    ...createSnapshots(clientsOf),
    ...createDisks(clientsOf),
    ...createDiskAccess(clientsOf),
    ...createDiskAccesses(clientsOf),
    ...createNics(clientsOf),
    ...createRunCommands(clientsOf),
    ...createOwnedResources(clientsOf),
  };
}
