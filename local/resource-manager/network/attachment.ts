/**
 * Which VM a network interface is attached to. The interface keeps it (`internal.virtualMachineId`)
 * and shows it as `properties.virtualMachine`; Compute changes it through these functions.
 */
import { ArmError } from "../arm-error.ts";
import { stringAt } from "../json.ts";
import type { Resource, ResourceStore } from "../provider.ts";
import { nameOf, sameId } from "../resource-id.ts";

export function attachedVmOf(networkInterface: Resource): string | undefined {
  return stringAt(networkInterface.internal, "virtualMachineId");
}

/**
 * Attaches an interface to a VM. Idempotent. Throws 404 when it does not exist and 400
 * `NicInUse` when another resource has it.
 */
export function attachNetworkInterface(
  resources: ResourceStore,
  attachment: { interfaceId: string; vmId: string; primary: boolean },
): Resource {
  const { interfaceId, vmId, primary } = attachment;
  const found = resources.get(interfaceId);
  if (found === undefined)
    throw new ArmError(404, "NotFound", `Resource ${interfaceId} was not found.`);
  const user = attachedVmOf(found) ?? stringAt(found.internal, "privateEndpointId");
  if (user !== undefined && !sameId(user, vmId))
    throw new ArmError(
      400,
      "NicInUse",
      `Network Interface ${interfaceId} is used by existing resource ${user}. In order to use the network interface ${nameOf(interfaceId)}, it must be dissociated from the resource.`,
    );
  const internal = { ...found.internal, virtualMachineId: vmId, primary };
  return resources.put(found.id, { body: found.body, internal });
}

/** Frees an interface from this VM. No error when it is gone or belongs to another. */
export function detachNetworkInterface(
  resources: ResourceStore,
  interfaceId: string,
  vmId: string,
): void {
  const found = resources.get(interfaceId);
  if (found === undefined || !sameId(attachedVmOf(found) ?? "", vmId)) return;
  const { virtualMachineId: _, primary: __, ...internal } = found.internal;
  resources.put(found.id, { body: found.body, internal });
}
