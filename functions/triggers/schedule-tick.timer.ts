import { planDueBackups } from "#core/schedule/schedule.ts";
import { policySessionId, slotKey } from "#core/model/session.ts";
import type { Policy } from "#core/model/policy.ts";
import type { AppContext } from "../app-context.ts";
import type { OrchestrationClient } from "../orchestration-client.ts";
import { ORCHESTRATORS } from "../orchestrators/names.ts";
import {
  startDueArchives,
  startDueHealthChecks,
  startDueMaintenance,
} from "./repository-schedule.ts";
import type { PolicyRunInput } from "../orchestrators/policy-run.ts";

/**
 * Starts the policies that are due. Safe to run twice and to crash anywhere: the slot's row is its
 * claim, the orchestration's id is made of the slot, and only then the slot counts as started.
 */
export async function runScheduleTick(
  context: AppContext,
  client: OrchestrationClient,
): Promise<void> {
  const { records, clock, events, config } = context;
  const policies: Policy[] = [];
  for await (const { value } of records.policies.list()) policies.push(value);
  const lastSlots = new Map<string, Date>();
  for await (const { id, value } of records.lastSlots.list())
    lastSlots.set(id, new Date(value.slot));
  for (const due of planDueBackups(policies, lastSlots, clock())) {
    const slot = due.slot.toISOString();
    const sessionId = policySessionId(due.policyId, slotKey(due.slot));
    await records.slots(due.policyId).insert(slotKey(due.slot), { slot });
    const input: PolicyRunInput = {
      sessionId,
      policyId: due.policyId,
      slot,
      settings: config.run,
    };
    const started = await client.startOnce(ORCHESTRATORS.policyRun, sessionId, input);
    await records.lastSlots.put(due.policyId, { slot });
    if (started)
      events.policyDue({ policyId: due.policyId, slot, reasons: due.reasons.join("; ") });
    await forgetOldSlots(context, due.policyId, slotKey(due.slot));
  }
  await startDueMaintenance(context, client);
  await startDueHealthChecks(context, client);
  await startDueArchives(context, client);
}

/** The latest slot is kept apart: claims of earlier ones have served. */
async function forgetOldSlots(
  { records }: AppContext,
  policyId: string,
  latest: string,
): Promise<void> {
  const slots = records.slots(policyId);
  for await (const { id } of slots.list()) if (id < latest) await slots.delete(id);
}
