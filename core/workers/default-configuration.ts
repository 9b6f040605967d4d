import type { WorkerConfiguration } from "../model/worker-configuration.ts";

/** What the app's settings say of workers. */
export interface WorkerDefaults {
  readonly resourceGroupId: string;
  readonly imageUrn: string;
  /** First choice of the profile `medium`. */
  readonly vmSize: string;
  readonly perRegionMax: number;
  readonly idleSeconds: number;
}

/**
 * Sizes with premium storage and accelerated network, of two families each at least, because a region
 * that is short of one seldom is of the other.
 */
const SIZES = {
  small: ["Standard_F2s_v2", "Standard_D2s_v3", "Standard_D2as_v5"],
  medium: ["Standard_F4s_v2", "Standard_D4s_v3", "Standard_D4as_v5"],
  large: ["Standard_F8s_v2", "Standard_D8s_v3", "Standard_D8as_v5"],
  archive: ["Standard_E2s_v5", "Standard_D4s_v3", "Standard_D4as_v5"],
};

/** The configuration of a region that has none from an operator. */
export function defaultWorkerConfiguration(
  defaults: WorkerDefaults,
  location: string,
): WorkerConfiguration {
  const { vmSize } = defaults;
  return {
    location,
    origin: "automatic",
    sizes: { ...SIZES, medium: [vmSize, ...SIZES.medium.filter((size) => size !== vmSize)] },
    minimum: 0,
    maximum: defaults.perRegionMax,
    purchase: { kind: "regular" },
    image: { kind: "marketplace", urn: defaults.imageUrn },
    osDisk: "ephemeral",
    resourceGroupId: defaults.resourceGroupId,
    tags: {},
    idle: { action: "delete", afterSeconds: defaults.idleSeconds },
    securityUpdates: { kind: "off" },
  };
}
