import type { DiskService } from "#local/disks/disk-service.ts";
import type { Listener } from "#local/identity/http-listener.ts";
import type { InstanceMetadata } from "#local/identity/instance-metadata-endpoint.ts";
import type { VmHost } from "#local/vm-host/vm-host.ts";
import type { ScriptParameter } from "#local/vm-host/script-run.ts";
import type { ProviderContext } from "../provider.ts";
import { ExportPeaks } from "./export-peaks.ts";

/** Cores that one subscription may have in one region, running or not. */
export interface CoreQuota {
  readonly regular: number;
  readonly spot: number;
}

export interface ComputeOptions {
  readonly disks: DiskService;
  readonly host: VmHost;
  /**
   * Opens the instance metadata service of one VM on `port` of the loopback address (0: any).
   * After a restart of the simulator it is asked for the port that the VM knows.
   */
  openMetadata(vm: InstanceMetadata, port: number): Promise<Listener>;
  /**
   * Origin of the SAS of what has a disk access with this host name (undefined: has none). Default:
   * that of the data plane itself.
   */
  readonly exportOrigin?: (diskAccessHost: string | undefined) => string;
  /** Default: 100 regular and 100 Spot cores in each region. */
  readonly coreQuota?: (location: string) => CoreQuota;
  /** Guests keep running when the provider stops (they are adopted at the next start). Default false. */
  readonly keepGuestsOnStop?: boolean;
}

/** What the handlers of this provider share. */
export interface ComputeServices extends Omit<ComputeOptions, "coreQuota"> {
  readonly coreQuota: (location: string) => CoreQuota;
  /** Image files that may be imported as disks, by `file:` URI: offered by the developer's CLI only. */
  readonly importableFiles: Set<string>;
  /** Protected parameters between PUT and start of the script; never persisted. By run id. */
  readonly protectedParameters: Map<string, readonly ScriptParameter[]>;
  /** Open metadata services by lower-case id of the VM. */
  readonly metadata: Map<string, Listener>;
  /** Aborted when the provider stops: nothing may write to the resource table any more. */
  readonly stopping: AbortController;
  readonly exportPeaks: ExportPeaks;
  /** Set at start. */
  context: ProviderContext | undefined;
}

export const computeApiVersions = ["2026-04-01"];
export const diskApiVersions = ["2026-03-02"];

const defaultQuota: CoreQuota = { regular: 100, spot: 100 };

export function createServices(options: ComputeOptions): ComputeServices {
  return {
    ...options,
    coreQuota: options.coreQuota ?? (() => defaultQuota),
    importableFiles: new Set(),
    protectedParameters: new Map(),
    metadata: new Map(),
    stopping: new AbortController(),
    exportPeaks: new ExportPeaks(),
    context: undefined,
  };
}
