import type { DoctorRecord, ProbeResult } from "#core/model/doctor.ts";
import type { WayFact } from "#core/model/doctor-facts.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import { wayDigestsOf } from "#core/network/doctor-facts.ts";
import { explainDoctor, isProbeOf, textOfFindings } from "#core/network/explain-doctor.ts";
import { probesOfInstall } from "#core/network/install-probe.ts";
import type { AppContext } from "../app-context.ts";
import type { NetworkVerdict } from "./activity-contract.ts";
import { defineActivity } from "./define-activity.ts";
import { diskTargetsOf } from "./doctor-targets.ts";
import { readDoctorFacts, repositoryIdsOf } from "./doctor-view.ts";

/**
 * The doctor's steps. A *way* was green when a worker's probes passed on it; its digest changes with
 * everything that Resource Manager knows of it, and then a worker looks again.
 */
const GREEN_WAYS_MAX = 200;

/** Whether a worker must look before the job; then the job of the doctor is prepared. */
export const planDoctor = defineActivity("plan-doctor", async (context, input) => {
  const { jobId, doctorJobId, location, force } = input;
  const { records } = context;
  const job = await records.jobs.get(jobId);
  // A doctor on demand is such a look itself.
  if (job.spec.kind === "doctor") return { needed: false };
  const before = (await records.doctors.read(location))?.value;
  if (!force && before !== undefined) {
    const facts = await readDoctorFacts(context, job);
    const green = new Set(before.greenWays);
    if (wayDigestsOf(facts).every((each) => green.has(each))) return { needed: false };
  }
  const { repositoryId } = job.spec;
  await records.jobs.insert(doctorJobId, {
    jobId: doctorJobId,
    sessionId: job.sessionId,
    location,
    spec: {
      kind: "doctor",
      repositoryId,
      otherRepositoryIds: repositoryIdsOf(job.spec).slice(1),
      diskTargets: await diskTargetsOf(context, job),
    },
    state: "prepared",
    attempt: 0,
    progress: [],
    progressSequence: -1,
  });
  return { needed: true };
});

/** Reads what the worker saw, explains it, and keeps it with the region. */
export const concludeDoctor = defineActivity("conclude-doctor", async (context, input) => {
  const job = await context.records.jobs.get(input.jobId);
  const probes = job.result?.kind === "doctor" ? job.result.probes : undefined;
  return conclude(context, job, probes);
});

/** The same without a worker: what Resource Manager and the failure's own text show to be wrong. */
export const explainNetwork = defineActivity("explain-network", async (context, input) => {
  const job = await context.records.jobs.get(input.jobId);
  return conclude(context, job, probesOfInstall(input.message));
});

function isSeen(way: WayFact, probes: readonly ProbeResult[] = []): boolean {
  return probes.some((probe) => isProbeOf(probe, way));
}

async function conclude(
  context: AppContext,
  job: JobRecord,
  probes: ProbeResult[] | undefined,
): Promise<NetworkVerdict> {
  const { records, clock, events } = context;
  const { location, sessionId, workerId } = job;
  const facts = await readDoctorFacts(context, job, probes);
  const { ok, findings } = explainDoctor(facts, probes);
  const before = (await records.doctors.read(location))?.value;
  const known = ok ? (before?.greenWays ?? []) : [];
  // A way that nobody looked along is not known to work.
  const green = ok ? wayDigestsOf(facts, (way) => isSeen(way, probes)) : [];
  const record: DoctorRecord = {
    location,
    checkedAt: clock().toISOString(),
    sessionId,
    ...(workerId === undefined ? {} : { workerId }),
    ok,
    findings: [...findings],
    probes: probes ?? [],
    greenWays: [...new Set([...green, ...known])].slice(0, GREEN_WAYS_MAX),
  };
  // Without probes and without a finding nothing was learnt.
  if (probes !== undefined || !ok) await records.doctors.put(location, record);
  const failedCount = findings.length;
  events.networkChecked({ location, ok, failedCount, probeCount: probes?.length ?? 0 });
  const isCertain = findings.some(({ resourceId }) => resourceId !== undefined);
  return { ok, isCertain, text: ok ? "" : textOfFindings(location, findings) };
}
