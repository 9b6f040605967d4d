import { z } from "zod";
import { backupDiskResultSchema, restoreDiskResultSchema } from "../protocol/worker-event.ts";

/**
 * Session: one run of anything, as an operator sees it in the log. Its id is the id of the
 * orchestration that does the work; inserting its row claims the run.
 */
export const sessionStateSchema = z.enum(["running", "succeeded", "warning", "failed", "skipped"]);
export type SessionState = z.infer<typeof sessionStateSchema>;

export const sessionTypeSchema = z.enum(["backup", "restore", "policy"]);

export const diskPlanSchema = z.object({
  diskId: z.string(),
  name: z.string(),
  kind: z.enum(["full", "incremental"]),
  reason: z.string(),
});

export const sessionSchema = z.object({
  sessionId: z.string(),
  type: sessionTypeSchema,
  state: sessionStateSchema,
  trigger: z.enum(["schedule", "manual"]),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime().optional(),
  policyId: z.string().optional(),
  parentSessionId: z.string().optional(),
  vmId: z.string().optional(),
  vmName: z.string().optional(),
  repositoryId: z.string().optional(),
  restorePointId: z.string().optional(),
  /** Why it ended as it did, in a sentence; always there unless it succeeded. */
  reason: z.string().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  jobId: z.string().optional(),
  plan: z.array(diskPlanSchema).optional(),
  backupDisks: z.array(backupDiskResultSchema).optional(),
  restoreDisks: z.array(restoreDiskResultSchema).optional(),
  /** Resource id of the VM that a restore made. */
  restoredVmResourceId: z.string().optional(),
  /** What a restore was asked for. */
  restoreRequest: z
    .object({
      restorePointId: z.string(),
      vmName: z.string(),
      resourceGroupId: z.string().optional(),
      subnetId: z.string().optional(),
    })
    .optional(),
  /** VMs of a policy's run, in order; each becomes a child session. */
  targets: z
    .array(z.object({ vmId: z.string(), vmResourceId: z.string(), vmName: z.string() }))
    .optional(),
  counts: z
    .object({ succeeded: z.number(), warning: z.number(), failed: z.number(), skipped: z.number() })
    .optional(),
});
export type Session = z.infer<typeof sessionSchema>;

export const sessionLogLineSchema = z.object({
  at: z.iso.datetime(),
  level: z.enum(["info", "warning", "error"]),
  message: z.string(),
});
export type SessionLogLine = z.infer<typeof sessionLogLineSchema>;

/** `running` in the table of sessions: which session may back up a VM now. */
export const vmClaimSchema = z.object({ sessionId: z.string(), claimedAt: z.iso.datetime() });
export type VmClaim = z.infer<typeof vmClaimSchema>;

/** `2026-11-22T01:30:00.000Z` → `20261122T013000Z`: sorts by time, safe in every name. */
export function slotKey(slot: Date): string {
  return slot
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(/[-:]/g, "");
}

/** Id of session and orchestration of one VM's backup. Two policies may share a slot. */
export function backupSessionId(vmId: string, slot: string, startedBy: string): string {
  return `backup-${vmId}-${slot}-${startedBy}`;
}

export function policySessionId(policyId: string, slot: string): string {
  return `policy-${policyId}-${slot}`;
}
