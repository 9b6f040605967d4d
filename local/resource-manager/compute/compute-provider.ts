/**
 * The simulated Microsoft.Compute: virtual machines, their run commands, managed disks, snapshots,
 * disk accesses and disk encryption sets. Bytes live in the disk service, guests on the VM host; this
 * folder is the part that speaks Azure's language and refuses what Azure refuses.
 */
import type { ProviderContext, ResourceProvider } from "../provider.ts";
import {
  computeApiVersions,
  createServices,
  type ComputeOptions,
  type ComputeServices,
} from "./compute-services.ts";
import { diskAccesses, diskEncryptionSets } from "./disk-accesses.ts";
import { disks } from "./disks.ts";
import { resumeRunCommands, runCommands } from "./run-commands.ts";
import type { ExportPeaks } from "./export-peaks.ts";
import { snapshots } from "./snapshots.ts";
import { evictVm, virtualMachines } from "./virtual-machines.ts";
import { closeMetadata, resumeGuests } from "./vm-power.ts";
import { vmSizes } from "./vm-sizes.ts";

export interface ComputeProvider extends ResourceProvider {
  /** For the developer's command line: lets a PUT of a disk import this image file once. */
  offerFile(fileUri: string): void;
  readonly exportPeaks: ExportPeaks;
  /** Evicts a Spot VM by its resource id. */
  evict(vmId: string): Promise<void>;
}

export function createComputeProvider(options: ComputeOptions): ComputeProvider {
  const services = createServices(options);
  return {
    namespace: "Microsoft.Compute",
    types: [
      virtualMachines(services),
      runCommands(services),
      disks(services),
      snapshots(services),
      diskAccesses(),
      diskEncryptionSets(),
    ],
    routes: [
      {
        path: "locations/{location}/vmSizes",
        action: "locations/vmSizes/read",
        apiVersions: computeApiVersions,
        handle: () => ({
          value: vmSizes.map((size) => ({
            name: size.name,
            numberOfCores: size.coreCount,
            memoryInMB: size.memoryMiB,
            maxDataDiskCount: size.maxDataDisks,
            osDiskSizeInMB: 1_047_552,
            resourceDiskSizeInMB: 0,
          })),
        }),
      },
    ],
    start: async (context) => {
      services.context = context;
      await resumeGuests(services, context);
      await resumeRunCommands(services, context);
    },
    stop: async () => {
      services.stopping.abort();
      for (const vmId of services.metadata.keys()) await closeMetadata(services, vmId);
      if (options.keepGuestsOnStop !== true) await services.host.stopAll();
    },
    exportPeaks: services.exportPeaks,
    offerFile: (fileUri) => void services.importableFiles.add(fileUri),
    evict: async (vmId) => evictVm(services, startedContext(services), vmId),
  };
}

function startedContext({ context }: ComputeServices): ProviderContext {
  if (context === undefined) throw new Error("the Resource Manager has not started");
  return context;
}
