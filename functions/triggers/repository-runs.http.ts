import { z } from "zod";
import { checkLevelSchema } from "#core/protocol/job.ts";
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

const checkRequestSchema = z.strictObject({
  level: checkLevelSchema.default("sample"),
  /** All VMs of the repository when missing. */
  vmIds: z.array(z.string().min(1).max(64)).min(1).max(1000).optional(),
});

const importRequestSchema = z.strictObject({
  /** Region of the workers; the repository's `location` when missing. */
  location: z
    .string()
    .regex(/^[a-z0-9]{1,60}$/, "is no name of an Azure region, e.g. westeurope")
    .optional(),
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
  {
    name: "start-health-check",
    method: "POST",
    route: "v1/repositories/{repositoryId}/health-checks",
    async handle(call) {
      const input = await call.body(checkRequestSchema);
      const fields = { checkLevel: input.level };
      return startRun(call, "health-check", ORCHESTRATORS.checkRepository, input, fields);
    },
  },
  {
    name: "start-import",
    method: "POST",
    route: "v1/repositories/{repositoryId}/import",
    async handle(call) {
      const input = await call.body(importRequestSchema);
      return startRun(call, "import", ORCHESTRATORS.importRepository, input);
    },
  },
];
