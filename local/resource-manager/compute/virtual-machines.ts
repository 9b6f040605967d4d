/**
 * Virtual machines as resources. A VM made from an image has a *guest* on the VM host; one made of
 * attached disks (what is protected, what was restored) has bytes only and runs nothing.
 * The VM owns its disks and NICs from the moment its PUT is answered until it is deleted.
 */
import { ArmError } from "../arm-error.ts";
import { objectAt, stringAt, type JsonObject } from "../json.ts";
import type {
  AccessRequest,
  LinkedAccess,
  ProviderContext,
  Resource,
  ResourceType,
  WorkContext,
} from "../provider.ts";
import { detachNetworkInterface } from "../network/attachment.ts";
import { idKey } from "../resource-id.ts";
import { computeApiVersions, type ComputeServices } from "./compute-services.ts";
import { callDisks } from "./disk-errors.ts";
import { runCommandAction, runCommandActionWork } from "./run-command-action.ts";
import { attachedDisksOf, attachedNicsOf, setDiskOwner } from "./vm-attachments.ts";
import { createVm } from "./vm-create.ts";
import { instanceViewOf } from "./vm-instance-view.ts";
import { concurrentRequest, vmReadBucket, vmWriteBucket } from "./vm-limits.ts";
import { closeMetadata, powerActions, powerWork } from "./vm-power.ts";
import { hasGuest, vmIdOf } from "./vm-state.ts";
import { patchVm, replaceVm } from "./vm-update.ts";

const vmType = "Microsoft.Compute/virtualMachines";

export function virtualMachines(services: ComputeServices): ResourceType {
  return {
    type: "virtualMachines",
    apiVersions: computeApiVersions,
    tracked: true,
    identity: true,
    // Linux: 1 to 64 characters (resource-name-rules of Microsoft.Compute/virtualMachines).
    namePattern: /^(?!_)[\w.-]{0,63}[\w]$/,
    put: (request) =>
      request.existing === undefined
        ? createVm(services, request)
        : replaceVm(services, request, request.existing),
    patch: (request) => patchVm(services, request),
    remove: ({ existing }) => {
      checkDisksDeletable(services, existing);
      return { kind: "accepted", work: { name: "delete", style: "both" } };
    },
    show: (vm, context, expand) => {
      if (expand?.toLowerCase() !== "instanceview") return vm.body;
      const properties = objectAt(vm.body, "properties");
      const instanceView = instanceViewOf(vm, context.resources);
      return { ...vm.body, properties: { ...properties, instanceView } };
    },
    actions: { ...powerActions(services), runCommand: runCommandAction() },
    views: {
      instanceView: {
        action: "instanceView/read",
        handle: ({ existing, resources }) => instanceViewOf(existing, resources),
      },
    },
    work: {
      ...powerWork(services),
      runCommand: runCommandActionWork(services),
      update: async () => undefined,
      delete: async (context) => deleteVm(services, context),
    },
    linkedAccess,
    buckets: ({ method, id }) => [method === "GET" ? vmReadBucket(id) : vmWriteBucket(id)],
    onBusy: () => concurrentRequest(),
  };
}

/**
 * Whoever creates a VM must be allowed to use what it names:
 * https://learn.microsoft.com/azure/role-based-access-control/permissions/compute
 */
function linkedAccess({
  method,
  id: vmId,
  body,
  existing,
}: AccessRequest): readonly LinkedAccess[] {
  if (method !== "PUT" && method !== "PATCH") return [];
  const vm = { id: "", name: "", type: vmType, body, internal: {}, etag: "" };
  const nics = attachedNicsOf(vm).map(({ id }) => ({
    id,
    action: "Microsoft.Network/networkInterfaces/join/action",
  }));
  const disks = attachedDisksOf(vm).map(({ id }) => ({
    id,
    action: "Microsoft.Compute/disks/write",
  }));
  // The OS disk that comes from an image is a resource beside the VM, made in the caller's name.
  const properties = objectAt(body, "properties");
  const osDisk = objectAt(objectAt(properties, "storageProfile"), "osDisk");
  const isFromImage = existing === undefined && osDisk["createOption"] === "FromImage";
  const groupId = vmId.slice(0, vmId.toLowerCase().indexOf("/providers/"));
  const imageDisks = isFromImage ? [{ id: groupId, action: "Microsoft.Compute/disks/write" }] : [];
  const identities = Object.keys(
    objectAt(objectAt(body, "identity"), "userAssignedIdentities"),
  ).map((id) => ({ id, action: "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action" }));
  return [...nics, ...disks, ...imageDisks, ...identities];
}

/** A disk that goes with its VM must not have a SAS out (possible while it is deallocated). */
function checkDisksDeletable(services: ComputeServices, vm: Resource): void {
  for (const { id, deleteOption } of attachedDisksOf(vm)) {
    if (deleteOption !== "Delete") continue;
    if (services.disks.describeDisk(idKey(id))?.liveGrant === undefined) continue;
    throw new ArmError(
      409,
      "OperationNotAllowed",
      `There is an active shared access signature outstanding for disk ${id}. Call EndGetAccess before deleting the virtual machine with it.`,
    );
  }
}

/** Ends the guest, then removes or frees what the VM had, each by its `deleteOption`. */
async function deleteVm(services: ComputeServices, context: WorkContext): Promise<void> {
  const vm = context.current();
  if (vm === undefined) return;
  await closeMetadata(services, vm.id);
  if (hasGuest(vm)) await services.host.remove(vmIdOf(vm));
  const { resources } = context;
  for (const { id, deleteOption } of attachedDisksOf(vm)) {
    setDiskOwner(resources, id, undefined);
    if (deleteOption !== "Delete") continue;
    await callDisks(() => services.disks.deleteDisk(idKey(id)));
    resources.delete(id);
  }
  for (const { id, deleteOption } of attachedNicsOf(vm)) {
    detachNetworkInterface(resources, id, vm.id);
    if (deleteOption === "Delete") resources.delete(id);
  }
}

/** What the hypervisor does to a Spot VM whose capacity is wanted. */
export async function evictVm(
  services: ComputeServices,
  context: ProviderContext,
  vmId: string,
): Promise<void> {
  const vm = context.resources.get(vmId);
  if (vm === undefined) return;
  const properties = objectAt(vm.body, "properties");
  if (stringAt(properties, "priority") !== "Spot") {
    throw new Error(`${vmId} is not a Spot VM: only those are evicted.`);
  }
  if (hasGuest(vm)) await services.host.evict(vmIdOf(vm));
  if (stringAt(properties, "evictionPolicy") === "Delete") {
    const input: JsonObject = {};
    const signal = new AbortController().signal;
    const current = () => context.resources.get(vmId);
    await deleteVm(services, { ...context, id: vmId, operationId: "", input, current, signal });
    context.resources.delete(vmId);
    return;
  }
  await closeMetadata(services, vm.id);
  context.resources.put(vmId, {
    body: vm.body,
    internal: { ...vm.internal, powerState: "deallocated" },
  });
}
