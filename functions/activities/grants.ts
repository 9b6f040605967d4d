import { createHash } from "node:crypto";
import { HoldfastError } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import type { AppContext } from "../app-context.ts";
import { GRANTS_AT_ONCE, type Grant } from "./build-job.ts";
import { defineActivity } from "./define-activity.ts";

/**
 * The ledger of grants: one row for each job and each object that it has access to. Azure ends all
 * access to an object at once, so it ends with the last job that holds it: of two that let go in the
 * same moment, the one whose row goes last sees no other. One that lets go while another begins would
 * still take its access away; therefore whoever gives an object to several jobs holds it itself, with a
 * row of its own, until all of them are done (`disk-parts.ts`).
 */
export function grantId(jobId: string, resourceId: string): string {
  const digest = createHash("sha256").update(resourceId.toLowerCase()).digest("hex");
  return `${jobId}~${digest.slice(0, 32)}`;
}

/**
 * The ledger's row is there before the SAS is: whatever happens, it will be revoked. When the row
 * went while the SAS was made, the dispatch was revoked: the SAS came too late and goes again.
 */
export function createGrants(context: AppContext, job: JobRecord, signal: AbortSignal): Grant {
  const { records, compute, config, clock } = context;
  return async (resourceId, access) => {
    const { jobId, sessionId } = job;
    const id = grantId(jobId, resourceId);
    const row = { jobId, sessionId, resourceId, access, grantedAt: clock().toISOString() };
    await records.grants.put(id, row);
    const sas = await compute.grantAccess(resourceId, access, config.sasSeconds, signal);
    if ((await records.grants.insert(id, row)) === "exists") return sas;
    await letGo(context, [{ id, resourceId }], signal);
    throw new HoldfastError("JobSuperseded", `Job '${jobId}' was revoked while it was dispatched.`);
  };
}

/** Of the job, and of all that was started for it. */
export const revokeGrants = defineActivity("revoke-grants", async (context, { jobId }, signal) => {
  const own: { id: string; resourceId: string }[] = [];
  for await (const { id, value } of context.records.grants.list({ prefix: `${jobId}~` }))
    own.push({ id, resourceId: value.resourceId });
  await letGo(context, own, signal);
  return { revokedCount: own.length };
});

async function letGo(
  context: AppContext,
  own: readonly { readonly id: string; readonly resourceId: string }[],
  signal: AbortSignal,
): Promise<void> {
  if (own.length === 0) return;
  const { records, compute } = context;
  const ownIds = new Set(own.map(({ id }) => id));
  const held = await listHeldByOthers(context, ownIds);
  await mapBounded(own, GRANTS_AT_ONCE, async ({ id, resourceId }) => {
    const isHeld = held.has(resourceId.toLowerCase());
    if (!isHeld) await compute.revokeAccess(resourceId, signal);
    await records.grants.delete(id);
    if (!isHeld) return;
    const left = await listHeldByOthers(context, ownIds);
    if (!left.has(resourceId.toLowerCase())) await compute.revokeAccess(resourceId, signal);
  });
}

async function listHeldByOthers(
  { records }: AppContext,
  ownIds: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const held = new Set<string>();
  for await (const { id, value } of records.grants.list())
    if (!ownIds.has(id)) held.add(value.resourceId.toLowerCase());
  return held;
}
