/**
 * Everything that is known about one instance (orchestration or entity) after its last commit, and
 * the messages that move instances on. Invariants: a record with its history and outbox is written
 * in one step (the commit point); what the outbox holds is sent after that, so that a crash loses
 * nothing and repeats at most messages, which `seenMessageIds` recognises.
 */
import { z } from "zod";
import { historyEventSchema } from "./history-events.ts";

export const runtimeStatuses = [
  "Pending",
  "Running",
  "Suspended",
  "Completed",
  "Failed",
  "Terminated",
] as const;
export type RuntimeStatus = (typeof runtimeStatuses)[number];

export function isTerminal(status: RuntimeStatus): boolean {
  return status === "Completed" || status === "Failed" || status === "Terminated";
}

export const controlMessageSchema = z.object({
  /** Stays the same when a message is sent again. */
  messageId: z.string(),
  instanceId: z.string(),
  /** Set when the message is for one execution only: completions, timers, starts, replies. */
  executionId: z.string().optional(),
  event: historyEventSchema,
});
export type ControlMessage = z.infer<typeof controlMessageSchema>;

export const workMessageSchema = z.object({
  instanceId: z.string(),
  executionId: z.string(),
  taskId: z.int(),
  name: z.string(),
  input: z.unknown().optional(),
});
export type WorkMessage = z.infer<typeof workMessageSchema>;

const outboxEntrySchema = z.discriminatedUnion("queue", [
  z.object({
    queue: z.literal("control"),
    message: controlMessageSchema,
    /** Not to be seen before; timers. */
    visibleAt: z.string().optional(),
  }),
  z.object({ queue: z.literal("work"), message: workMessageSchema }),
]);
export type OutboxEntry = z.infer<typeof outboxEntrySchema>;

const entityStateSchema = z.object({
  exists: z.boolean(),
  /** JSON text as the library gave it. */
  state: z.string().nullable(),
});
export type EntityState = z.infer<typeof entityStateSchema>;

const instanceHeaderSchema = z.object({
  instanceId: z.string(),
  executionId: z.string(),
  name: z.string(),
  version: z.string(),
  status: z.enum(runtimeStatuses),
  /** JSON text, as `output` (plain text when failed) and `customStatus`. */
  input: z.string().nullable(),
  output: z.string().nullable(),
  customStatus: z.string().nullable(),
  createdAt: z.string(),
  updatedAt: z.string(),
  parent: z
    .object({
      instanceId: z.string(),
      executionId: z.string(),
      name: z.string(),
      taskId: z.int(),
    })
    .nullable(),
  entity: entityStateSchema.nullable(),
  outbox: z.array(outboxEntrySchema),
  seenMessageIds: z.array(z.string()),
});

export const instanceRecordSchema = instanceHeaderSchema.extend({
  history: z.array(historyEventSchema),
});
export type InstanceRecord = z.infer<typeof instanceRecordSchema>;

/** A record without its history: what a status query and the recovery scan need. */
export { instanceHeaderSchema };
export type InstanceHeader = z.infer<typeof instanceHeaderSchema>;

/** How many message ids a record remembers. Far above what one crash can repeat. */
const seenMessageLimit = 512;

/** The newest ids are kept. */
export function rememberMessages(
  seenMessageIds: readonly string[],
  added: readonly string[],
): string[] {
  return [...seenMessageIds, ...added].slice(-seenMessageLimit);
}

export function newInstanceRecord(
  base: Pick<InstanceRecord, "instanceId" | "executionId" | "name" | "input" | "createdAt">,
  options: Partial<
    Pick<InstanceRecord, "version" | "status" | "parent" | "entity" | "seenMessageIds">
  > = {},
): InstanceRecord {
  return {
    version: "",
    status: "Pending",
    output: null,
    customStatus: null,
    parent: null,
    entity: null,
    outbox: [],
    seenMessageIds: [],
    history: [],
    updatedAt: base.createdAt,
    ...base,
    ...options,
  };
}
