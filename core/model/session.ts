import { z } from "zod";
import { checkLevelSchema } from "../protocol/job.ts";
import {
  archiveResultSchema,
  backupDiskResultSchema,
  checkResultSchema,
  importResultSchema,
  maintainResultSchema,
  restoreDiskResultSchema,
} from "../protocol/worker-event.ts";

/**
 * Session: one run of anything, as an operator sees it in the log. Its id is the id of the
 * orchestration that does the work; inserting its row claims the run.
 */
export const sessionStateSchema = z.enum(["running", "succeeded", "warning", "failed", "skipped"]);
export type SessionState = z.infer<typeof sessionStateSchema>;

export const sessionTypeSchema = z.enum([
  "backup",
  "restore",
  "policy",
  "retention",
  "health-check",
  "archive",
  "retrieval",
  "import",
  "region",
  "doctor",
]);

/** Kinds of run of which a repository has one at a time each. */
export const REPOSITORY_RUNS = ["retention", "health-check", "import"] as const;
export type RepositoryRun = (typeof REPOSITORY_RUNS)[number];

/** What retention decided in one run, over all VMs of a repository. */
export const retentionCountsSchema = z.object({
  kept: z.number(),
  expired: z.number(),
  /** Of VMs that lose too much at once unless somebody confirms. */
  heldBack: z.number(),
  /** Beyond what one run does; the next one follows at once. */
  left: z.number(),
});
export type RetentionCounts = z.infer<typeof retentionCountsSchema>;

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
  /** Region whose network a session prepares. */
  location: z.string().optional(),
  restorePointId: z.string().optional(),
  /** How long the restore point of a backup on demand, or an archive, stays. */
  keepUntil: z.iso.datetime().optional(),
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
      /** The archive's copy that the bytes come from. */
      retrievalId: z.string().optional(),
    })
    .optional(),
  retention: retentionCountsSchema.optional(),
  maintenance: maintainResultSchema.omit({ kind: true, expiredPoints: true }).optional(),
  checkLevel: checkLevelSchema.optional(),
  check: checkResultSchema.omit({ kind: true }).optional(),
  archiveId: z.string().optional(),
  archive: archiveResultSchema.omit({ kind: true, archiveId: true }).optional(),
  retrievalId: z.string().optional(),
  import: importResultSchema.omit({ kind: true }).optional(),
  /** VMs of a policy's run, in order; each becomes a child session. */
  targets: z
    .array(
      z.object({
        vmId: z.string(),
        vmResourceId: z.string(),
        vmName: z.string(),
        restorePointId: z.string().optional(),
      }),
    )
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

/** `running` in the table of sessions: which session may work on a VM or a repository now. */
export const claimSchema = z.object({ sessionId: z.string(), claimedAt: z.iso.datetime() });
export type Claim = z.infer<typeof claimSchema>;

/** What a session claims: the VM that it backs up, or its kind of run in a repository. */
export function claimIdOf(
  session: Pick<Session, "type" | "vmId" | "repositoryId">,
): string | undefined {
  if (session.type === "backup") return session.vmId;
  const isRun = REPOSITORY_RUNS.some((each) => each === session.type);
  if (!isRun || session.repositoryId === undefined) return undefined;
  return `${session.repositoryId}~${session.type}`;
}

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

export function repositorySessionId(type: RepositoryRun, repositoryId: string, at: string): string {
  return `${type}-${repositoryId}-${at}`;
}

/** Begins with the VM's id, as the point's id does. */
export function archiveIdOf(restorePointId: string, at: string): string {
  return `${restorePointId}-${at}`;
}

export function archiveSessionId(archiveId: string): string {
  return `archive-${archiveId}`;
}
