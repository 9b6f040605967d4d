import { objectAt, stringAt, type JsonObject } from "../json.ts";
import type { Resource, ResourceStore } from "../provider.ts";

/** Codes after `PowerState/`: https://learn.microsoft.com/azure/virtual-machines/states-billing */
export type PowerState =
  "starting" | "running" | "stopping" | "stopped" | "deallocating" | "deallocated";

export function powerStateOf(vm: Resource): PowerState {
  const state = stringAt(vm.internal, "powerState");
  switch (state) {
    case "running":
    case "stopping":
    case "stopped":
    case "deallocating":
    case "deallocated":
      return state;
    case undefined:
    default:
      return "starting";
  }
}

/** Changes what is kept about a VM and never shown; the rest stays. */
export function updateInternal(resources: ResourceStore, id: string, change: JsonObject): void {
  const vm = resources.get(id);
  if (vm === undefined) return;
  resources.put(id, { body: vm.body, internal: { ...vm.internal, ...change } });
}

/** True for a VM that was made from an image: only those have a guest that runs something. */
export function hasGuest(vm: Resource): boolean {
  return vm.internal["hasGuest"] === true;
}

/** `properties.vmId`: names the guest on the VM host; a VM re-created under its name gets another. */
export function vmIdOf(vm: Resource): string {
  return stringAt(objectAt(vm.body, "properties"), "vmId") ?? "";
}
