import { planDueBackups } from "#core/schedule/schedule.ts";
import { repositorySessionId, slotKey } from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
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
    const rule = {
      policyId: slotId,
      enabled: true,
      enabledAt: value.createdAt,
      schedule: MAINTENANCE_SCHEDULE,
    };
    const lastSlots = new Map(last === undefined ? [] : [[slotId, new Date(last)]]);
    const [due] = planDueBackups([rule], lastSlots, clock());
    const slot =
      due?.slot ?? ((await leftSomething(context, repositoryId, last)) ? clock() : undefined);
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

async function leftSomething(
  { records }: AppContext,
  repositoryId: string,
  last: string | undefined,
): Promise<boolean> {
  if (last === undefined) return false;
  const sessionId = repositorySessionId("retention", repositoryId, slotKey(new Date(last)));
  const session = (await records.sessions.read(sessionId))?.value;
  const isDone = session?.state === "succeeded" || session?.state === "warning";
  return isDone && (session.retention?.left ?? 0) > 0;
}
