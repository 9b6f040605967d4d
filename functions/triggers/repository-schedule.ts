import { planDueBackups } from "#core/schedule/schedule.ts";
import { repositorySessionId, slotKey } from "#core/model/session.ts";
import type { Policy } from "#core/model/policy.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
import type { ArchiveRunInput } from "../orchestrators/archive-points.ts";
import type { CheckRepositoryInput } from "../orchestrators/check-repository.ts";
import type { MaintainRepositoryInput } from "../orchestrators/maintain-repository.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";

/**
 * Runs that come due by themselves in repositories. As with policies, the orchestration's id is made
 * of the slot, and only after the start the slot counts as started.
 */

/** Once a day, when most backups of a night are over. */
const MAINTENANCE_SCHEDULE = { cron: "0 5 * * *", timeZone: "UTC" } as const;

/** Daily, and again at once when a run could not do all that was due. */
export async function startDueMaintenance(
  context: AppContext,
  client: OrchestrationClient,
): Promise<void> {
  const { records, clock, config, events } = context;
  for await (const { id: repositoryId, value } of records.repositories.list()) {
    const slotId = `retention-${repositoryId}`;
    const last = (await records.lastSlots.read(slotId))?.value.slot;
    const due = await findDueSlot(context, slotId, {
      enabled: true,
      enabledAt: value.createdAt,
      updatedAt: value.createdAt,
      schedule: MAINTENANCE_SCHEDULE,
    });
    const slot = due ?? ((await leftSomething(context, repositoryId, last)) ? clock() : undefined);
    if (slot === undefined) continue;
    const sessionId = repositorySessionId("retention", repositoryId, slotKey(slot));
    const input: MaintainRepositoryInput = {
      sessionId,
      repositoryId,
      trigger: "schedule",
      confirmed: false,
      settings: config.run,
    };
    await client.startOnce(ORCHESTRATORS.maintainRepository, sessionId, input);
    await records.lastSlots.put(slotId, { slot: slot.toISOString() });
    events.repositoryRunRequested({ sessionId, repositoryId });
  }
}

/** Health checks of policies, in the repositories that they write to. */
export async function startDueHealthChecks(
  context: AppContext,
  client: OrchestrationClient,
): Promise<void> {
  const { records, config, events } = context;
  for await (const { value: policy } of records.policies.list()) {
    const { policyId, repositoryId, enabled, enabledAt, updatedAt, healthCheck } = policy;
    if (healthCheck === undefined) continue;
    const slotId = `health-check-${policyId}`;
    const slot = await findDueSlot(context, slotId, {
      enabled,
      enabledAt,
      updatedAt,
      schedule: healthCheck.schedule,
    });
    if (slot === undefined) continue;
    const at = `${slotKey(slot)}-${policyId}`;
    const sessionId = repositorySessionId("health-check", repositoryId, at);
    const input: CheckRepositoryInput = {
      sessionId,
      repositoryId,
      trigger: "schedule",
      policyId,
      level: healthCheck.level,
      settings: config.run,
    };
    await client.startOnce(ORCHESTRATORS.checkRepository, sessionId, input);
    await records.lastSlots.put(slotId, { slot: slot.toISOString() });
    events.repositoryRunRequested({ sessionId, repositoryId });
  }
}

/** Archives of policies: the newest restore point of each of their VMs. */
export async function startDueArchives(
  context: AppContext,
  client: OrchestrationClient,
): Promise<void> {
  const { records, config, events } = context;
  for await (const { value: policy } of records.policies.list()) {
    const { policyId, repositoryId, enabled, enabledAt, updatedAt, archive } = policy;
    if (archive === undefined) continue;
    const slotId = `archive-${policyId}`;
    const rule = { enabled, enabledAt, updatedAt, schedule: archive.schedule };
    const slot = await findDueSlot(context, slotId, rule);
    if (slot === undefined) continue;
    const sessionId = `archive-run-${policyId}-${slotKey(slot)}`;
    const input: ArchiveRunInput = { sessionId, policyId, settings: config.run };
    await client.startOnce(ORCHESTRATORS.archiveRun, sessionId, input);
    await records.lastSlots.put(slotId, { slot: slot.toISOString() });
    events.repositoryRunRequested({ sessionId, repositoryId });
  }
}

async function findDueSlot(
  { records, clock }: AppContext,
  slotId: string,
  { updatedAt, ...rule }: Pick<Policy, "enabled" | "enabledAt" | "updatedAt" | "schedule">,
): Promise<Date | undefined> {
  const last = (await records.lastSlots.read(slotId))?.value.slot;
  // A rule that was added to an old policy does not owe what was due before.
  const enabledAt = last === undefined ? updatedAt : rule.enabledAt;
  const lastSlots = new Map(last === undefined ? [] : [[slotId, new Date(last)]]);
  return planDueBackups([{ policyId: slotId, ...rule, enabledAt }], lastSlots, clock())[0]?.slot;
}

async function leftSomething(
  { records }: AppContext,
  repositoryId: string,
  last: string | undefined,
): Promise<boolean> {
  if (last === undefined) return false;
  const sessionId = repositorySessionId("retention", repositoryId, slotKey(new Date(last)));
  const session = (await records.sessions.read(sessionId))?.value;
  const isDone = session?.state === "succeeded" || session?.state === "warning";
  if (!isDone || session.retention === undefined) return false;
  const { left, expired } = session.retention;
  // What the worker keeps comes first again: without progress the next day is soon enough.
  return left > 0 && expired > (session.maintenance?.keptPoints.length ?? 0);
}
