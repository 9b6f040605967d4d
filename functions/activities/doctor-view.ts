import { mapBounded } from "#core/lib/bounded-pool.ts";
import type { ProbeResult } from "#core/model/doctor.ts";
import type { DoctorFacts } from "#core/model/doctor-facts.ts";
import type { JobSpec } from "#core/model/job-record.ts";
import { resourceGroupOf, sameId } from "#core/model/resource-id.ts";
import { diskRecordOf, doctorFactsOf, type DiskWay } from "#core/network/doctor-facts.ts";
import { diskPoolNamesOf } from "#core/network/plan-disk-accesses.ts";
import { lastNameOf, zoneIdOf } from "#core/network/region-plan.ts";
import type { AppContext } from "../app-context.ts";
import { readRegion, type RegionView } from "./region-facts.ts";

/** What Resource Manager says now of the ways that a job's worker takes. */
const READS_AT_ONCE = 5;

/** A snapshot of a job, and the disk access that leads to it. */
export interface DiskTarget {
  readonly snapshotId: string;
  readonly diskAccessId: string;
}

/** One snapshot of each disk access that the job reads through. */
export async function diskTargetsOf(context: AppContext, spec: JobSpec): Promise<DiskTarget[]> {
  if (spec.kind === "doctor") return spec.diskTargets;
  if (spec.kind !== "backup") return [];
  const found = await mapBounded(spec.disks, READS_AT_ONCE, async ({ snapshotId }) => {
    const snapshot = await context.compute.readSnapshot(snapshotId);
    const diskAccessId = snapshot?.networkAccess.diskAccessId;
    return diskAccessId === undefined ? [] : [{ snapshotId, diskAccessId }];
  });
  const first = new Map<string, DiskTarget>();
  for (const target of found.flat()) {
    const key = target.diskAccessId.toLowerCase();
    if (!first.has(key)) first.set(key, target);
  }
  return [...first.values()];
}

/** Repositories whose accounts the job's worker must reach. */
export function repositoryIdsOf(spec: JobSpec): string[] {
  const others = spec.kind === "doctor" ? spec.otherRepositoryIds : [];
  return [spec.repositoryId, ...others];
}

/** @param probes tell the hosts of disks, whose records are looked at too then */
export async function readDoctorFacts(
  context: AppContext,
  location: string,
  spec: JobSpec,
  probes: readonly ProbeResult[] = [],
): Promise<DoctorFacts> {
  const repositories = await Promise.all(
    repositoryIdsOf(spec).map((id) => context.records.repositories.get(id)),
  );
  const [view, targets] = await Promise.all([
    readRegion(context, location, repositories),
    diskTargetsOf(context, spec),
  ]);
  const disks = await mapBounded(targets, READS_AT_ONCE, ({ diskAccessId }) => {
    const probe = probes.find(({ targetId = "" }) => sameId(targetId, diskAccessId));
    return readDiskWay(context, view, diskAccessId, probe?.host);
  });
  return doctorFactsOf(view.facts, view.config, disks);
}

async function readDiskWay(
  { compute, region, config }: AppContext,
  view: RegionView,
  diskAccessId: string,
  host: string | undefined,
): Promise<DiskWay> {
  const names = diskPoolNamesOf(
    {
      controlPlaneId: config.controlPlaneId,
      workerResourceGroupId: config.worker.resourceGroupId,
    },
    {
      location: view.config.location,
      subscriptionId: resourceGroupOf(diskAccessId).subscriptionId,
    },
  );
  const found = view.facts.endpoints.find((each) => sameId(each.targetId, diskAccessId));
  const label = host === undefined ? undefined : diskRecordOf(host);
  const zoneId = zoneIdOf(view.config.zoneGroupId, "disks");
  const [access, dns, addresses] = await Promise.all([
    compute.readDiskAccess(diskAccessId),
    found === undefined ? undefined : region.readEndpointDns(found),
    label === undefined || view.facts.zones.blob === undefined
      ? undefined
      : region.readAddressRecord(zoneId, label),
  ]);
  return {
    diskAccessId,
    exists: access !== undefined,
    endpointId: names.endpointIdOf(lastNameOf(diskAccessId)),
    endpoint: found === undefined || dns === undefined ? undefined : { ...found, dns },
    ...(label === undefined ? {} : { record: { name: label, addresses: addresses ?? [] } }),
  };
}
