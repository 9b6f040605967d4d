import { objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type { Resource, ResourceStore } from "../provider.ts";
import { attachedDisksOf } from "./vm-attachments.ts";
import { hasGuest, powerStateOf, type PowerState } from "./vm-state.ts";

const displayStatus: Readonly<Record<PowerState, string>> = {
  starting: "VM starting",
  running: "VM running",
  stopping: "VM stopping",
  stopped: "VM stopped",
  deallocating: "VM deallocating",
  deallocated: "VM deallocated",
};

/** `GET .../instanceView`, and `properties.instanceView` with `$expand=instanceView`. */
export function instanceViewOf(vm: Resource, resources: ResourceStore): JsonObject {
  const properties = objectAt(vm.body, "properties");
  const state = powerStateOf(vm);
  const provisioning = stringAt(properties, "provisioningState") ?? "Succeeded";
  const isGuestReady = hasGuest(vm) && state === "running";
  return withoutUndefined({
    computerName: isGuestReady
      ? stringAt(objectAt(properties, "osProfile"), "computerName")
      : undefined,
    osName: isGuestReady ? "ubuntu" : undefined,
    hyperVGeneration: generationOf(vm, resources),
    vmAgent: isGuestReady
      ? {
          vmAgentVersion: "2.13.1.1",
          statuses: [status("ProvisioningState/succeeded", "Ready")],
          extensionHandlers: [],
        }
      : undefined,
    disks: attachedDisksOf(vm).map(({ id }) => ({
      name: resources.get(id)?.name ?? "",
      statuses: [status("ProvisioningState/succeeded", "Provisioning succeeded")],
    })),
    statuses: [
      status(
        `ProvisioningState/${provisioning.toLowerCase()}`,
        `Provisioning ${provisioning.toLowerCase()}`,
      ),
      status(`PowerState/${state}`, displayStatus[state]),
    ],
  });
}

function status(code: string, display: string): JsonObject {
  return { code, level: "Info", displayStatus: display };
}

function generationOf(vm: Resource, resources: ResourceStore): string | undefined {
  const [osDisk] = attachedDisksOf(vm);
  const disk = osDisk === undefined ? undefined : resources.get(osDisk.id);
  return stringAt(objectAt(disk?.body ?? {}, "properties"), "hyperVGeneration");
}
