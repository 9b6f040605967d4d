import type { ProvisioningState } from "#core/ports/compute.ts";

/** `properties.provisioningState` of any resource, reduced to what an orchestrator waits for. */
export function provisioningOf(state: string | undefined): ProvisioningState {
  switch (state?.toLowerCase()) {
    case "succeeded":
      return "succeeded";
    case "failed":
    case "canceled":
      return "failed";
    case undefined:
    default:
      return "pending";
  }
}

const BYTES_PER_GIB = 1024 ** 3;

/** Size of a disk or snapshot in bytes, without the footer of an export. */
export function diskSizeOf(resource: {
  readonly diskSizeBytes?: number;
  readonly diskSizeGB?: number;
}): number {
  return resource.diskSizeBytes ?? (resource.diskSizeGB ?? 0) * BYTES_PER_GIB;
}
