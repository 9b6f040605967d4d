import { z } from "zod";
import {
  sessionStateSchema,
  sessionTypeSchema,
  type Session,
  type SessionLogLine,
} from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";
import type { Endpoint } from "../http/endpoint.ts";
import { notFound } from "../http/problem.ts";
import { readProgress } from "./session-progress.ts";

/** `/api/v1/sessions`: what runs and what ran, with progress, plan and log. */
const listQuerySchema = z.strictObject({
  type: sessionTypeSchema.optional(),
  state: sessionStateSchema.optional(),
  vmId: z.string().min(1).optional(),
  policyId: z.string().min(1).optional(),
  parentSessionId: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});

/** Lists keep the large parts for the detail. */
function summaryOf({ targets: _targets, plan: _plan, ...session }: Session): object {
  return session;
}

async function listSessions(
  { records }: AppContext,
  filter: Partial<z.infer<typeof listQuerySchema>>,
): Promise<Session[]> {
  const sessions: Session[] = [];
  for await (const { value } of records.sessions.list()) {
    if (filter.type !== undefined && value.type !== filter.type) continue;
    if (filter.state !== undefined && value.state !== filter.state) continue;
    if (filter.vmId !== undefined && value.vmId !== filter.vmId) continue;
    if (filter.policyId !== undefined && value.policyId !== filter.policyId) continue;
    if (filter.parentSessionId !== undefined && value.parentSessionId !== filter.parentSessionId)
      continue;
    sessions.push(value);
  }
  return sessions.sort((left, right) => Date.parse(right.startedAt) - Date.parse(left.startedAt));
}

async function detailOf(context: AppContext, session: Session): Promise<object> {
  const { records } = context;
  const log: SessionLogLine[] = [];
  for await (const { value } of records.sessionLog(session.sessionId).list()) log.push(value);
  const job = session.type === "policy" ? undefined : await records.jobs.read(session.sessionId);
  const children =
    session.targets !== undefined
      ? await listSessions(context, { parentSessionId: session.sessionId })
      : [];
  return {
    ...session,
    attempt: job?.value.attempt ?? 0,
    workerId: job?.value.workerId ?? null,
    ...(job === undefined ? { progress: [], parts: [] } : await readProgress(context, job.value)),
    children: children.map(summaryOf),
    log,
  };
}

export const sessionEndpoints: readonly Endpoint[] = [
  {
    name: "list-sessions",
    method: "GET",
    route: "v1/sessions",
    async handle(call) {
      const filter = call.query(listQuerySchema);
      const sessions = await listSessions(call.context, filter);
      return { status: 200, body: { value: sessions.slice(0, filter.limit).map(summaryOf) } };
    },
  },
  {
    name: "get-session",
    method: "GET",
    route: "v1/sessions/{sessionId}",
    async handle(call) {
      const sessionId = call.param("sessionId");
      const found = await call.context.records.sessions.read(sessionId);
      if (found === undefined) throw notFound("Session", sessionId);
      return { status: 200, body: await detailOf(call.context, found.value) };
    },
  },
];
