import { z } from "zod";
import { repositorySessionId, slotKey, type RepositoryRun } from "#core/model/session.ts";
import type { ApiAnswer, ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem } from "../http/problem.ts";
import type { MaintainRepositoryInput } from "../orchestrators/maintain-repository.ts";
import { ORCHESTRATORS, type OrchestratorName } from "../orchestrators/names.ts";

/** `/api/v1/repositories/{id}/...`: runs that look after a repository, on demand. */
const maintenanceRequestSchema = z.strictObject({
  /** Also what the safety gate holds back. */
  confirm: z.boolean().default(false),
});

/** Opens the session, so that it can be read from now on, and starts its orchestration. */
async function startRun(
  call: ApiCall,
  type: RepositoryRun,
  orchestrator: OrchestratorName,
  input: object,
  fields: object = {},
): Promise<ApiAnswer> {
  const { records, clock, events, config } = call.context;
  const repositoryId = call.param("repositoryId");
  if ((await records.repositories.read(repositoryId)) === undefined)
    throw notFound("Repository", repositoryId);
  const now = clock();
  const sessionId = repositorySessionId(type, repositoryId, slotKey(now));
  const inserted = await records.sessions.insert(sessionId, {
    sessionId,
    type,
    state: "running",
    trigger: "manual",
    startedAt: now.toISOString(),
    repositoryId,
    jobId: sessionId,
    ...fields,
  });
  if (inserted === "exists")
    throw new Problem(409, "JustStarted", `Session '${sessionId}' started this second.`);
  const common = { sessionId, repositoryId, trigger: "manual", settings: config.run } as const;
  await call.client.startOnce(orchestrator, sessionId, { ...common, ...input });
  events.repositoryRunRequested({ sessionId, repositoryId });
  return { status: 202, body: { sessionId }, location: `/api/v1/sessions/${sessionId}` };
}

export const repositoryRunEndpoints: readonly Endpoint[] = [
  {
    name: "start-maintenance",
    method: "POST",
    route: "v1/repositories/{repositoryId}/maintenance",
    async handle(call) {
      const { confirm } = await call.body(maintenanceRequestSchema);
      const input = { confirmed: confirm } satisfies Partial<MaintainRepositoryInput>;
      return startRun(call, "retention", ORCHESTRATORS.maintainRepository, input);
    },
  },
];
