import { z } from "zod";
import { REPOSITORY_RUNS } from "#core/model/session.ts";
import { checkLevelSchema } from "#core/protocol/job.ts";

/** One schema for each activity's input. */
const id = z.string().min(1).max(256);
const session = z.object({ sessionId: id });
const job = z.object({ jobId: id });
const worker = z.object({ workerId: id });

export const ACTIVITY_INPUTS = {
  "claim-backup": session.extend({
    vmId: id,
    vmName: z.string(),
    repositoryId: id,
    trigger: z.enum(["schedule", "manual"]),
    policyId: id.optional(),
    parentSessionId: id.optional(),
  }),
  "claim-repository": session.extend({
    repositoryId: id,
    type: z.enum(REPOSITORY_RUNS),
    trigger: z.enum(["schedule", "manual"]),
    policyId: id.optional(),
    checkLevel: checkLevelSchema.optional(),
  }),
  "plan-maintenance": session.extend({ confirmed: z.boolean() }),
  "index-maintenance": session,
  "plan-check": session.extend({
    level: checkLevelSchema,
    vmIds: z.array(id).min(1).max(1000).optional(),
  }),
  "index-check": session,
  "plan-import": session.extend({ location: id.optional() }),
  "read-import": session,
  "index-import": session,
  "capture-vm": job.extend({ vmId: id, vmResourceId: z.string().min(1), repositoryId: id }),
  "start-snapshots": job,
  "read-snapshots": job,
  "plan-region": z.object({ location: id }),
  "execute-region-action": z.object({
    location: id,
    kind: z.enum(["create-network", "create-staging-account"]),
  }),
  "plan-backup": job.extend({ forceFull: z.boolean() }),
  "index-restore-point": job.extend({ policyId: id.optional() }),
  "clean-snapshots": z.object({ vmId: id }),
  "delete-session-snapshots": job,
  "close-session": session.extend({
    state: z.enum(["succeeded", "warning", "failed", "skipped"]),
    reason: z.string().optional(),
    errorCode: z.string().optional(),
    counts: z
      .object({
        succeeded: z.number(),
        warning: z.number(),
        failed: z.number(),
        skipped: z.number(),
      })
      .optional(),
  }),
  "append-log": session.extend({
    at: z.iso.datetime(),
    number: z.number().int().min(0),
    level: z.enum(["info", "warning", "error"]),
    message: z.string(),
  }),
  "register-worker": worker.extend({ location: id }),
  "start-worker-nic": worker,
  "read-worker-nic": worker,
  "start-worker-vm": worker,
  "read-worker-vm": worker,
  "install-agent": worker,
  "read-install": worker,
  "read-worker": worker,
  "start-worker-removal": worker,
  "finish-worker-removal": worker,
  "dispatch-job": job.extend({ attempt: z.number().int().min(1), workerId: id }),
  "read-job-state": job.extend({ attempt: z.number().int().min(1), waiterInstanceId: id }),
  "revoke-grants": job,
  "plan-restore": session,
  "start-restore-disks": session,
  "read-restore-disks": session.extend({ stage: z.enum(["writable", "sealed"]) }),
  "start-restore-nics": session,
  "read-restore-nics": session,
  "start-restore-vm": session,
  "read-restore-vm": session,
  "index-restore": session,
  "delete-restored": session,
  "choose-vms": session.extend({ policyId: id, slot: z.iso.datetime() }),
  "read-policy-target": session.extend({ index: z.number().int().min(0) }),
  "list-workers": z.object({}),
  "sweep-grants": z.object({}),
  "sweep-snapshots": z.object({}),
  "sweep-restores": z.object({}),
  "sweep-strays": z.object({}),
  "find-ended-holders": z.object({ holders: z.array(z.string().min(1)) }),
} as const;
