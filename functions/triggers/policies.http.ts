import { findScheduleFault } from "#core/schedule/schedule.ts";
import { policyInputSchema, type Policy, type PolicyInput } from "#core/model/policy.ts";
import type { AppContext } from "../app-context.ts";
import type { ApiCall, Endpoint } from "../http/endpoint.ts";
import { notFound, Problem, wrongField } from "../http/problem.ts";
import type { TypedRecord } from "../typed-table.ts";

/** `/api/v1/policies`: who is backed up, when, where to. */
const POLICY_ID_BYTES = 6;

/** What a schema alone cannot tell. */
async function checkPolicy(context: AppContext, input: PolicyInput): Promise<void> {
  const schedules = {
    schedule: input.schedule,
    "archive.schedule": input.archive?.schedule,
    "healthCheck.schedule": input.healthCheck?.schedule,
  };
  for (const [path, schedule] of Object.entries(schedules)) {
    const fault = schedule === undefined ? undefined : findScheduleFault(schedule);
    if (fault !== undefined) throw wrongField(`${path}.${fault.field}`, fault.reason);
  }
  if (Object.values(input.selection.include).every((list) => list.length === 0))
    throw wrongField("selection.include", "it names no VM and no criterion");
  if ((await context.records.repositories.read(input.repositoryId)) === undefined)
    throw wrongField("repositoryId", `there is no repository '${input.repositoryId}'`);
}

async function findPolicy(call: ApiCall): Promise<TypedRecord<Policy>> {
  const policyId = call.param("policyId");
  const found = await call.context.records.policies.read(policyId);
  if (found === undefined) throw notFound("Policy", policyId);
  if (call.ifVersion !== undefined && call.ifVersion !== found.version) throw changed("Policy");
  return found;
}

export function changed(kind: string): Problem {
  return new Problem(412, "PreconditionFailed", `The ${kind} was changed; read it again.`);
}

export const policyEndpoints: readonly Endpoint[] = [
  {
    name: "create-policy",
    method: "POST",
    route: "v1/policies",
    async handle(call) {
      const { records, clock, randomHex } = call.context;
      const input = await call.body(policyInputSchema);
      await checkPolicy(call.context, input);
      const now = clock().toISOString();
      const policyId = `p-${randomHex(POLICY_ID_BYTES)}`;
      const policy = { ...input, policyId, createdAt: now, enabledAt: now, updatedAt: now };
      await records.policies.insert(policyId, policy);
      const stored = await records.policies.read(policyId);
      return {
        status: 201,
        body: policy,
        location: `/api/v1/policies/${policyId}`,
        ...(stored === undefined ? {} : { version: stored.version }),
      };
    },
  },
  {
    name: "list-policies",
    method: "GET",
    route: "v1/policies",
    async handle({ context }) {
      const value: Policy[] = [];
      for await (const policy of context.records.policies.list()) value.push(policy.value);
      return { status: 200, body: { value } };
    },
  },
  {
    name: "get-policy",
    method: "GET",
    route: "v1/policies/{policyId}",
    async handle(call) {
      const policyId = call.param("policyId");
      const found = await call.context.records.policies.read(policyId);
      if (found === undefined) throw notFound("Policy", policyId);
      return { status: 200, body: found.value, version: found.version };
    },
  },
  {
    name: "replace-policy",
    method: "PUT",
    route: "v1/policies/{policyId}",
    async handle(call) {
      const { records, clock } = call.context;
      const input = await call.body(policyInputSchema);
      const before = await findPolicy(call);
      await checkPolicy(call.context, input);
      const now = clock().toISOString();
      const { policyId, createdAt } = before.value;
      // Slots that came due while it was disabled, or under another schedule, are not owed.
      const goesOn =
        before.value.enabled &&
        before.value.schedule.cron === input.schedule.cron &&
        before.value.schedule.timeZone === input.schedule.timeZone;
      const enabledAt = goesOn ? before.value.enabledAt : now;
      const policy = { ...input, policyId, createdAt, enabledAt, updatedAt: now };
      const written = await records.policies.put(policyId, policy, { ifVersion: before.version });
      const stored = await records.policies.read(policyId);
      if (written === "changed" || stored === undefined) throw changed("Policy");
      return { status: 200, body: policy, version: stored.version };
    },
  },
  {
    name: "delete-policy",
    method: "DELETE",
    route: "v1/policies/{policyId}",
    async handle(call) {
      const { value } = await findPolicy(call);
      await call.context.records.policies.delete(value.policyId);
      return { status: 204 };
    },
  },
];
