import { mapBounded } from "#core/lib/bounded-pool.ts";
import { PROBES_MAX, type Probe } from "#core/model/doctor.ts";
import type { DoctorSpec } from "#core/model/job-record.ts";
import { STAGING_CONTAINER } from "#core/ports/staging.ts";
import type { DoctorJob } from "#core/protocol/job.ts";
import type { AppContext } from "../app-context.ts";
import type { Grant } from "./build-job.ts";
import { repositoryIdsOf } from "./doctor-view.ts";
import { EVENT_QUEUE, join } from "./workers.ts";

/** Longest time of one probe; all run at the same time. */
const PROBE_SECONDS = 8;
const GRANTS_AT_ONCE = 5;
/** The doctor's only question to the staging account is the first byte of the bundle. */
const BUNDLE_SAS_SECONDS = 600;

/** The doctor's job: what the next jobs of this worker will need, and nothing that changes anything. */
export async function doctorPart(
  context: AppContext,
  spec: DoctorSpec,
  workerId: string,
  grant: Grant,
): Promise<Pick<DoctorJob, "kind" | "probes" | "probeSeconds">> {
  const { staging, records, agentBundle, config, compute } = context;
  const worker = await records.workers.get(workerId);
  const bundleUrl = await staging.ensureBundle(
    worker.blobServiceUrl,
    await agentBundle.describe(),
    () => agentBundle.read(),
    BUNDLE_SAS_SECONDS,
    AbortSignal.timeout(BUNDLE_SAS_SECONDS * 1000),
  );
  const probes: Probe[] = [
    {
      name: `staging account, container ${STAGING_CONTAINER}`,
      kind: "staging-blob",
      url: bundleUrl,
    },
    {
      name: `job queue ${worker.queueName}`,
      kind: "job-queue",
      url: join(worker.queueServiceUrl, worker.queueName),
    },
    {
      name: `event queue ${EVENT_QUEUE}`,
      kind: "event-queue",
      url: join(config.queueServiceUrl, EVENT_QUEUE),
    },
  ];
  for (const repositoryId of repositoryIdsOf(spec)) {
    const { name, blobServiceUrl, container } = await records.repositories.get(repositoryId);
    const url = join(blobServiceUrl, container);
    probes.push({ name: `repository ${name}`, kind: "repository", url });
  }
  const asked = spec.diskTargets
    .flatMap(({ diskAccessId, snapshotId }) =>
      snapshotId === undefined ? [] : [{ diskAccessId, snapshotId }],
    )
    .slice(0, PROBES_MAX - probes.length);
  const disks = await mapBounded(asked, GRANTS_AT_ONCE, async (disk): Promise<Probe> => {
    const { diskAccessId: targetId, snapshotId } = disk;
    const name = `disk access ${targetId.slice(targetId.lastIndexOf("/") + 1)}`;
    const url = await grant(snapshotId, "Read");
    const { needsToken = false } = (await compute.readSnapshot(snapshotId)) ?? {};
    return { name, kind: "disk", url, targetId, ...(needsToken ? { needsToken } : {}) };
  });
  return { kind: "doctor", probes: [...probes, ...disks], probeSeconds: PROBE_SECONDS };
}
