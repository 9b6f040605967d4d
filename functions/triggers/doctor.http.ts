import { slotKey } from "#core/model/session.ts";
import { regionNameSchema } from "#core/model/region-record.ts";
import { diskTargetsOfRegion } from "../activities/doctor-targets.ts";
import type { AppContext } from "../app-context.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem } from "../http/problem.ts";
import type { DoctorRunInput } from "../orchestrators/doctor.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";

/** `/api/v1/regions/{region}/doctor`: whether workers there reach what they need. */
function locationOf(call: ApiCall): string {
  const parsed = regionNameSchema.safeParse(call.param("region"));
  if (parsed.success) return parsed.data;
  throw new Problem(400, "InvalidRequest", "The path's region is no name of an Azure region.");
}

async function repositoryIdsOf({ records }: AppContext): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of records.repositories.list()) ids.push(id);
  return ids;
}

/** Repositories that one look covers: each is a probe. */
const REPOSITORIES_MAX = 10;

export const doctorEndpoints: readonly Endpoint[] = [
  {
    name: "read-doctor",
    method: "GET",
    route: "v1/regions/{region}/doctor",
    async handle(call) {
      const location = locationOf(call);
      const found = await call.context.records.doctors.read(location);
      if (found === undefined) throw notFound("Doctor report", location);
      const { greenWays: _digests, ...report } = found.value;
      return { status: 200, body: report };
    },
  },
  {
    name: "start-doctor",
    method: "POST",
    route: "v1/regions/{region}/doctor",
    async handle(call) {
      const { records, clock, config, events } = call.context;
      const location = locationOf(call);
      if ((await records.regions.read(location)) === undefined) throw notFound("Region", location);
      const [repositoryId, ...others] = await repositoryIdsOf(call.context);
      if (repositoryId === undefined)
        throw new Problem(409, "NoRepository", "There is no repository to look for yet.");
      const now = clock();
      const sessionId = `doctor-${location}-${slotKey(now)}`;
      const inserted = await records.sessions.insert(sessionId, {
        sessionId,
        type: "doctor",
        state: "running",
        trigger: "manual",
        startedAt: now.toISOString(),
        jobId: sessionId,
        location,
      });
      if (inserted === "exists")
        throw new Problem(409, "JustStarted", `Session '${sessionId}' started this second.`);
      await records.jobs.insert(sessionId, {
        jobId: sessionId,
        sessionId,
        location,
        spec: {
          kind: "doctor",
          repositoryId,
          otherRepositoryIds: others.slice(0, REPOSITORIES_MAX - 1),
          diskTargets: await diskTargetsOfRegion(call.context, location),
        },
        state: "prepared",
        attempt: 0,
        progress: [],
        progressSequence: -1,
      });
      const input: DoctorRunInput = { jobId: sessionId, sessionId, location, settings: config.run };
      await call.client.startOnce(ORCHESTRATORS.doctorRun, sessionId, input);
      events.doctorRequested({ sessionId, location });
      return { status: 202, body: { sessionId }, location: `/api/v1/sessions/${sessionId}` };
    },
  },
];
