/**
 * Which VMs a policy covers. A VM is included by its id, or when it satisfies every other kind of
 * criterion that is given (tags, locations, subscriptions; one match within a kind is enough). It is
 * excluded by any single match: exclusions win.
 */
import type { Policy, VmSelector } from "../model/policy.ts";
import { resourceGroupOf } from "../model/resource-id.ts";
import type { VmSummary } from "../model/vm-configuration.ts";

export interface VmChoice {
  readonly vm: VmSummary;
  readonly covered: boolean;
  readonly reasons: readonly string[];
}

type Criterion = "vmId" | "tag" | "location" | "subscription";

/** The decision for each VM, in the order given. */
export function chooseVms(selection: Policy["selection"], vms: Iterable<VmSummary>): VmChoice[] {
  return Array.from(vms, (vm) => chooseVm(selection, vm));
}

export function chooseVm(selection: Policy["selection"], vm: VmSummary): VmChoice {
  const exclusions = [...matches(selection.exclude, vm)].filter(([, matched]) => matched);
  if (exclusions.length > 0) {
    const reasons = exclusions.map(([criterion]) => `excluded by its ${criterion}`);
    return { vm, covered: false, reasons };
  }
  const included = matches(selection.include, vm);
  if (included.get("vmId") === true)
    return { vm, covered: true, reasons: ["included by its vmId"] };
  included.delete("vmId");
  if (included.size === 0) return { vm, covered: false, reasons: ["not in the list of VMs"] };
  const missed = [...included].filter(([, matched]) => !matched).map(([criterion]) => criterion);
  if (missed.length > 0) {
    return { vm, covered: false, reasons: missed.map((each) => `its ${each} does not match`) };
  }
  const reasons = [...included.keys()].map((criterion) => `included by its ${criterion}`);
  return { vm, covered: true, reasons };
}

/** The criteria that the selector gives, and whether the VM matches each. */
function matches(selector: VmSelector, vm: VmSummary): Map<Criterion, boolean> {
  const found = new Map<Criterion, boolean>();
  const has = (list: readonly string[], value: string): boolean =>
    list.some((each) => each.toLowerCase() === value.toLowerCase());
  if (selector.vmIds.length > 0) found.set("vmId", has(selector.vmIds, vm.vmId));
  if (selector.tags.length > 0) {
    found.set(
      "tag",
      selector.tags.some((tag) => hasTag(vm, tag.name, tag.value)),
    );
  }
  if (selector.locations.length > 0) found.set("location", has(selector.locations, vm.location));
  if (selector.subscriptionIds.length > 0) {
    const { subscriptionId } = resourceGroupOf(vm.resourceId);
    found.set("subscription", has(selector.subscriptionIds, subscriptionId));
  }
  return found;
}

/** Tag names are compared without regard to case, values with it (as Azure does). */
function hasTag(vm: VmSummary, name: string, value: string | undefined): boolean {
  return Object.entries(vm.tags).some(
    ([key, found]) =>
      key.toLowerCase() === name.toLowerCase() && (value === undefined || found === value),
  );
}
