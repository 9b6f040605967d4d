import { z } from "zod";
import { regionActionSchema } from "#core/model/region-action.ts";
import { DISK_ACCESS_ACTIONS } from "#core/network/plan-disk-accesses.ts";
import { REPOSITORY_RUNS } from "#core/model/session.ts";
import { WORKER_PROFILES } from "#core/model/worker-configuration.ts";
import { checkLevelSchema } from "#core/protocol/job.ts";

/** One schema for each activity's input. */
const id = z.string().min(1).max(256);
const session = z.object({ sessionId: id });
const job = z.object({ jobId: id });
const worker = z.object({ workerId: id });
/** Of a disk access, or of what has a seat on one. */
const name = z.string().min(1).max(80);
/** Only disks that several workers share. */
const only = z.literal("parts").optional();
const diskPool = z.object({ location: id, subscriptionId: id });

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
  "claim-archive": session.extend({
    archiveId: id,
    restorePointId: id,
    repositoryId: id,
    vmId: id,
    vmName: z.string(),
    retentionDays: z.number().int().min(1),
    trigger: z.enum(["schedule", "manual"]),
    policyId: id.optional(),
    parentSessionId: id.optional(),
  }),
  "plan-archive": session,
  "index-archive": session,
  "choose-archives": session.extend({ policyId: id }),
  "read-archive-target": session.extend({ index: z.number().int().min(0) }),
  "plan-retrieval": session.extend({ round: z.number().int().min(0) }),
  "index-retrieval": session.extend({ jobId: id }),
  "read-retrieval": z.object({ retrievalId: id }),
  "plan-check": session.extend({
    level: checkLevelSchema,
    vmIds: z.array(id).min(1).max(1000).optional(),
  }),
  "read-check": session,
  "index-check": session,
  "plan-import": session.extend({ location: id.optional() }),
  "read-import": session,
  "index-import": session,
  "capture-vm": job.extend({ vmId: id, vmResourceId: z.string().min(1), repositoryId: id }),
  "read-disk-pool": job,
  "plan-disk-accesses": diskPool.extend({
    slots: z.number().int().min(0),
    retiring: z.array(name),
  }),
  "make-disk-accesses": diskPool.extend({
    actions: z.array(z.object({ kind: z.enum(DISK_ACCESS_ACTIONS), name })),
  }),
  "read-disk-wishes": job.extend({ only }),
  "place-disks": job.extend({ seats: z.array(z.object({ item: name, access: name })), only }),
  "start-snapshots": job.extend({ accesses: z.array(name).min(1) }),
  "read-snapshots": job,
  "plan-region": z.object({ location: id, repositoryId: id.optional(), jobId: id.optional() }),
  "execute-region-action": z.object({
    location: id,
    action: regionActionSchema,
    reason: z.string(),
  }),
  "plan-backup": job.extend({ forceFull: z.boolean() }),
  "hold-disk-parts": job,
  "conclude-disk-parts": job.extend({ notStarted: z.string().optional() }),
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
  "choose-worker": job.extend({ location: id, evictions: z.number().int().min(0) }),
  "register-worker": worker.extend({
    location: id,
    sessionId: id,
    profile: z.enum(WORKER_PROFILES),
    option: z.object({
      vmSize: z.string().min(1),
      priority: z.enum(["spot", "regular"]),
      osDisk: z.enum(["ephemeral", "managed"]),
    }),
  }),
  "recover-worker": worker,
  "rest-worker": worker,
  "start-worker-nic": worker,
  "read-worker-nic": worker,
  "start-worker-vm": worker,
  "read-worker-vm": worker,
  "install-agent": worker,
  "read-install": worker,
  "read-worker": worker,
  "start-worker-deallocation": worker,
  "read-worker-deallocation": worker,
  "start-worker-removal": worker.extend({
    state: z.enum(["stopping", "failed"]),
    reason: z.string().optional(),
  }),
  "finish-worker-removal": worker,
  "dispatch-job": job.extend({ attempt: z.number().int().min(1), workerId: id }),
  "read-job-state": job.extend({ attempt: z.number().int().min(1), waiterInstanceId: id }),
  "plan-doctor": job.extend({ doctorJobId: id, location: id, force: z.boolean() }),
  "conclude-doctor": job,
  "explain-network": job.extend({ message: z.string() }),
  "revoke-grants": job,
  "plan-restore": session,
  "start-restore-disks": session.extend({ accesses: z.array(name).min(1) }),
  "read-restore-disks": session.extend({ stage: z.enum(["writable", "sealed"]) }),
  "start-restore-nics": session,
  "read-restore-nics": session,
  "start-restore-vm": session,
  "read-restore-vm": session,
  "finish-restore-disks": session,
  "index-restore": session,
  "delete-restored": session,
  "choose-vms": session.extend({ policyId: id, slot: z.iso.datetime() }),
  "read-policy-target": session.extend({ index: z.number().int().min(0) }),
  "list-workers": z.object({}),
  "list-disk-pools": z.object({}),
  "find-ended-slot-holders": z.object({ holders: z.array(id) }),
  "find-unused-disk-accesses": diskPool,
  "remove-disk-accesses": diskPool.extend({ names: z.array(name) }),
  "sweep-grants": z.object({}),
  "sweep-snapshots": z.object({}),
  "sweep-restores": z.object({}),
  "sweep-strays": z.object({}),
  "find-ended-holders": z.object({ holders: z.array(z.string().min(1)) }),
} as const;
