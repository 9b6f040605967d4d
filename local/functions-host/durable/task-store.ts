/**
 * Where a task hub keeps its instances and messages. Two implementations fulfil one contract: in
 * memory (simulation) and Azure Storage.
 */
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  ControlMessage,
  InstanceHeader,
  InstanceRecord,
  RuntimeStatus,
  WorkMessage,
} from "./instance-record.ts";

/** A message that is invisible to others until its lease ends. */
export interface LeasedMessage<Body> {
  readonly body: Body;
  readonly dequeueCount: number;
  /** Starts the lease anew. Does nothing when the lease was lost. */
  renew(): Promise<void>;
  /** Removes the message and what it refers to. Safe to repeat. */
  complete(): Promise<void>;
  /** Makes it visible again after `delayMs`. */
  abandon(delayMs?: number): Promise<void>;
}

/** What storage queues give at once. */
export const receiveLimit = 32;

/** Delivers at least once, in no particular order. */
export interface MessageQueue<Body> {
  readonly leaseMs: number;
  send(body: Body, visibleAt?: Date): Promise<void>;
  /** At most `maxCount` (and `receiveLimit`) messages, at once; empty when there is none. */
  receive(maxCount: number): Promise<LeasedMessage<Body>[]>;
}

/** Names one committed state of a record; a commit on top of another state is refused. */
export type RecordVersion = string;

export interface VersionedRecord {
  readonly record: InstanceRecord;
  readonly version: RecordVersion;
}

export interface InstanceFilter {
  readonly statuses?: readonly RuntimeStatus[];
  readonly createdFrom?: Date;
  readonly createdTo?: Date;
  readonly instanceIdPrefix?: string;
  /** Entities and orchestrations are never listed together. */
  readonly kind: "orchestration" | "entity";
}

export interface TaskStore {
  readonly control: MessageQueue<ControlMessage>;
  readonly work: MessageQueue<WorkMessage>;
  /** Creates what is missing. Safe to repeat. */
  initialize(): Promise<void>;
  load(instanceId: string): Promise<VersionedRecord | undefined>;
  /**
   * Writes record, history and outbox in one step and marks the instance as unsettled, if it sends.
   * @param previous what the change was made on; undefined = the instance does not exist
   * @throws HoldfastError `CommitConflict` when somebody else has committed meanwhile
   */
  commit(record: InstanceRecord, previous: VersionedRecord | undefined): Promise<RecordVersion>;
  /** The outbox was sent. Ignored when the instance has moved on. Returns the current version. */
  settle(record: InstanceRecord, version: RecordVersion): Promise<RecordVersion>;
  /** Instances whose outbox may not have been sent. */
  listUnsettled(): Promise<VersionedRecord[]>;
  /** Ordered by instance id; without histories. */
  list(filter: InstanceFilter): Promise<InstanceHeader[]>;
  /** Removes the instance with all that belongs to it; false when there is none. */
  purge(instanceId: string): Promise<boolean>;
}

export function commitConflict(instanceId: string): HoldfastError {
  return new HoldfastError(
    "CommitConflict",
    `Instance ${instanceId} was committed by somebody else; the messages will be handled again.`,
    { retry: "backoff", context: { instanceId } },
  );
}

export function matchesFilter(header: InstanceHeader, filter: InstanceFilter): boolean {
  const { statuses, createdFrom, createdTo, instanceIdPrefix } = filter;
  const createdAtMs = Date.parse(header.createdAt);
  return (
    (header.entity !== null) === (filter.kind === "entity") &&
    (statuses === undefined || statuses.includes(header.status)) &&
    (createdFrom === undefined || createdAtMs >= createdFrom.getTime()) &&
    (createdTo === undefined || createdAtMs <= createdTo.getTime()) &&
    (instanceIdPrefix === undefined || header.instanceId.startsWith(instanceIdPrefix))
  );
}
