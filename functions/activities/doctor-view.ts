import { mapBounded } from "#core/lib/bounded-pool.ts";
import type { ProbeResult } from "#core/model/doctor.ts";
import type { DoctorFacts } from "#core/model/doctor-facts.ts";
import type { JobRecord, JobSpec } from "#core/model/job-record.ts";
import { resourceGroupOf, sameId } from "#core/model/resource-id.ts";
import { diskRecordOf, doctorFactsOf, type DiskWay } from "#core/network/doctor-facts.ts";
import { diskPoolNamesOf } from "#core/network/plan-disk-accesses.ts";
import { lastNameOf, zoneIdOf } from "#core/network/region-plan.ts";
import type { AppContext } from "../app-context.ts";
import { diskTargetsOf } from "./doctor-targets.ts";
import { readRegion, type RegionView } from "./region-facts.ts";

/** What Resource Manager says now of the ways that a job's worker takes. */
const READS_AT_ONCE = 5;
/** Of one disk access: a zone group keeps a few names. */
const RECORDS_MAX = 20;

/** Repositories whose accounts the job's worker must reach. */
export function repositoryIdsOf(spec: JobSpec): string[] {
  const others = spec.kind === "doctor" ? spec.otherRepositoryIds : [];
  return [spec.repositoryId, ...others];
}

/** @param probes tell the hosts of disks, whose records are looked at too then */
export async function readDoctorFacts(
  context: AppContext,
  { spec, location }: Pick<JobRecord, "spec" | "location">,
  probes: readonly ProbeResult[] = [],
): Promise<DoctorFacts> {
  const repositories = await Promise.all(
    repositoryIdsOf(spec).map((id) => context.records.repositories.get(id)),
  );
  const [view, targets] = await Promise.all([
    readRegion(context, location, repositories),
    diskTargetsOf(context, { spec, location }),
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
  const [access, dns] = await Promise.all([
    compute.readDiskAccess(diskAccessId),
    found === undefined ? undefined : region.readEndpointDns(found),
  ]);
  const labels = label === undefined ? (dns?.recordNames ?? []) : [label];
  const known = view.facts.zones.blob === undefined ? [] : labels.slice(0, RECORDS_MAX);
  const records = await mapBounded(known, READS_AT_ONCE, async (name) => ({
    name,
    addresses: (await region.readAddressRecord(zoneId, name)) ?? [],
  }));
  return {
    diskAccessId,
    exists: access !== undefined,
    endpointId: names.endpointIdOf(lastNameOf(diskAccessId)),
    endpoint: found === undefined || dns === undefined ? undefined : { ...found, dns },
    records,
  };
}
