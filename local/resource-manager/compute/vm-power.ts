import { messageOf } from "#core/lib/errors.ts";
import type { Listener } from "#local/identity/http-listener.ts";
import type { Principal } from "#local/identity/principals.ts";
import type { VmHost } from "#local/vm-host/vm-host.ts";
import { ArmError } from "../arm-error.ts";
import { objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type { ActionHandler, ProviderContext, Resource, WorkRunner } from "../provider.ts";
import { idKey, parseResourceId } from "../resource-id.ts";
import type { ComputeServices } from "./compute-services.ts";
import { callDisks } from "./disk-errors.ts";
import { refuseToDeallocate } from "./ephemeral-os-disk.ts";
import { attachedDisksOf } from "./vm-attachments.ts";
import { hasGuest, powerStateOf, updateInternal, vmIdOf, type PowerState } from "./vm-state.ts";

/** First boot runs what cloud-init would run. */
const firstBootRun = "cloud-init";

/** `start`, `restart`, `powerOff`, `deallocate`: each an operation that takes a while. */
export function powerActions(services: ComputeServices): Readonly<Record<string, ActionHandler>> {
  return {
    start: powerAction(services, "start", "starting"),
    restart: powerAction(services, "restart", "starting"),
    powerOff: powerAction(services, "powerOff", "stopping"),
    deallocate: powerAction(services, "deallocate", "deallocating"),
  };
}

function powerAction(
  services: ComputeServices,
  work: string,
  meanwhile: PowerState,
): ActionHandler {
  return {
    handle: async ({ existing, resources, id }) => {
      if (work === "restart" && powerStateOf(existing) !== "running") {
        throw new ArmError(
          409,
          "OperationNotAllowed",
          `Operation 'restart' is not allowed since the VM '${existing.name}' is not running.`,
        );
      }
      if (work === "deallocate") refuseToDeallocate(existing);
      if (work === "start") await checkDisksUsable(services, existing);
      updateInternal(resources, id, { powerState: meanwhile });
      return { kind: "accepted", work: { name: work, style: "both" } };
    },
  };
}

export function powerWork(services: ComputeServices): Readonly<Record<string, WorkRunner>> {
  return {
    boot: async (context) => {
      const vm = context.current();
      if (vm !== undefined) await bootVm(services, context, vm);
    },
    start: async (context) => {
      const vm = context.current();
      if (vm !== undefined) await startVm(services, context, vm);
    },
    restart: async (context) => {
      const vm = context.current();
      if (vm === undefined) return;
      await stopGuest(services, vm);
      await startVm(services, context, vm);
    },
    powerOff: async (context) => {
      const vm = context.current();
      if (vm === undefined) return;
      await stopGuest(services, vm);
      updateInternal(context.resources, vm.id, { powerState: "stopped" });
    },
    deallocate: async (context) => {
      const vm = context.current();
      if (vm === undefined) return;
      await stopGuest(services, vm);
      updateInternal(context.resources, vm.id, { powerState: "deallocated" });
    },
  };
}

async function bootVm(
  services: ComputeServices,
  context: ProviderContext,
  vm: Resource,
): Promise<void> {
  await startVm(services, context, vm);
  const customData = stringAt(vm.internal, "customData");
  if (!hasGuest(vm) || customData === undefined) return;
  await runCustomData(services.host, {
    vmId: vmIdOf(vm),
    text: Buffer.from(customData, "base64").toString("utf8"),
    metadataEndpoint: services.metadata.get(idKey(vm.id))?.origin,
  });
}

/**
 * A script (`#!`) runs as cloud-init would run it. Everything else, `#cloud-config` too, is only
 * recorded: a guest here is no machine whose packages and services could be configured.
 */
async function runCustomData(
  host: VmHost,
  boot: { vmId: string; text: string; metadataEndpoint: string | undefined },
): Promise<void> {
  const { vmId, text, metadataEndpoint } = boot;
  if (!text.startsWith("#!")) return;
  if ((await host.adoptScript(vmId, firstBootRun)) !== undefined) return;
  await host.startScript({ vmId, runId: firstBootRun, script: text, metadataEndpoint });
}

/** A VM does not start while a SAS is out for one of its disks. */
async function checkDisksUsable(services: ComputeServices, vm: Resource): Promise<void> {
  for (const { id } of attachedDisksOf(vm)) {
    await callDisks(() => services.disks.assertAttachable(idKey(id)));
  }
}

async function startVm(
  services: ComputeServices,
  context: ProviderContext,
  vm: Resource,
): Promise<void> {
  try {
    await checkDisksUsable(services, vm);
  } catch (error) {
    updateInternal(context.resources, vm.id, { powerState: "deallocated" });
    throw error;
  }
  if (hasGuest(vm)) {
    await services.host.create(vmIdOf(vm));
    await openMetadata(services, context, vm);
  }
  updateInternal(context.resources, vm.id, { powerState: "running" });
}

/** Opens the VM's metadata service, on the port that its processes may know already. */
async function openMetadata(
  services: ComputeServices,
  context: ProviderContext,
  vm: Resource,
): Promise<Listener> {
  const key = idKey(vm.id);
  const open = services.metadata.get(key);
  if (open !== undefined) return open;
  const known = vm.internal["metadataPort"];
  const port = typeof known === "number" ? known : 0;
  const listener = await services.openMetadata(
    {
      identities: () => identitiesOf(context, vm.id),
      compute: () => computeDocument(context, vm.id),
    },
    port,
  );
  services.metadata.set(key, listener);
  updateInternal(context.resources, vm.id, { metadataPort: listener.port });
  return listener;
}

/** Ends what runs in the guest and its metadata service. Safe to repeat. */
async function stopGuest(services: ComputeServices, vm: Resource): Promise<void> {
  if (hasGuest(vm)) await services.host.stop(vmIdOf(vm));
  await closeMetadata(services, vm.id);
}

export async function closeMetadata(services: ComputeServices, vmId: string): Promise<void> {
  const listener = services.metadata.get(idKey(vmId));
  services.metadata.delete(idKey(vmId));
  await listener?.[Symbol.asyncDispose]();
}

function identitiesOf(context: ProviderContext, vmId: string): readonly Principal[] {
  const identity = objectAt(context.resources.get(vmId)?.body ?? {}, "identity");
  const systemId = stringAt(identity, "principalId");
  const system = systemId === undefined ? undefined : context.principals.byObjectId(systemId);
  const assigned = Object.keys(objectAt(identity, "userAssignedIdentities")).map((id) =>
    context.principals.byResourceId(id),
  );
  return [system, ...assigned].filter((principal) => principal !== undefined);
}

/** https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service (compute) */
function computeDocument(context: ProviderContext, id: string): JsonObject {
  const vm = context.resources.get(id);
  if (vm === undefined) return {};
  const parsed = parseResourceId(id);
  const properties = objectAt(vm.body, "properties");
  const tags = Object.entries(objectAt(vm.body, "tags"));
  return withoutUndefined({
    azEnvironment: "AzurePublicCloud",
    location: stringAt(vm.body, "location"),
    name: vm.name,
    osType: "Linux",
    resourceGroupName: parsed?.resourceGroup,
    resourceId: vm.id,
    subscriptionId: parsed?.subscriptionId,
    tagsList: tags.map(([name, value]) => ({ name, value })),
    vmId: vmIdOf(vm),
    vmSize: stringAt(objectAt(properties, "hardwareProfile"), "vmSize"),
    priority: stringAt(properties, "priority"),
  });
}

/** At the start of the simulator: running VMs get their metadata service and processes back. */
export async function resumeGuests(
  services: ComputeServices,
  context: ProviderContext,
): Promise<void> {
  const running = context.resources
    .list("Microsoft.Compute/virtualMachines")
    .filter((vm) => hasGuest(vm) && powerStateOf(vm) === "running");
  await services.host.adopt(running.map((vm) => vmIdOf(vm)));
  for (const vm of running) {
    try {
      await openMetadata(services, context, vm);
    } catch (error) {
      // The port is taken by now: what runs in the guest has lost its identity, as after a move.
      updateInternal(context.resources, vm.id, {
        metadataPort: 0,
        metadataProblem: messageOf(error),
      });
    }
  }
}
