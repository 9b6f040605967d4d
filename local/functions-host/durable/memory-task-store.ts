/**
 * A task store in memory for simulation. Everything passes through JSON, so that nothing survives
 * here that would not survive storage.
 */
import type { Clock } from "../clock.ts";
import {
  type ControlMessage,
  controlMessageSchema,
  type InstanceHeader,
  instanceHeaderSchema,
  type InstanceRecord,
  instanceRecordSchema,
  type WorkMessage,
  workMessageSchema,
} from "./instance-record.ts";
import {
  commitConflict,
  type InstanceFilter,
  type LeasedMessage,
  matchesFilter,
  type MessageQueue,
  receiveLimit,
  type RecordVersion,
  type TaskStore,
  type VersionedRecord,
} from "./task-store.ts";

interface StoredMessage {
  readonly text: string;
  visibleAtMs: number;
  dequeueCount: number;
}

/** A queue whose due times the simulation can ask for. */
export class MemoryQueue<Body> implements MessageQueue<Body> {
  readonly leaseMs: number;
  readonly #clock: Clock;
  readonly #decode: (value: unknown) => Body;
  #messages: StoredMessage[] = [];

  constructor(clock: Clock, leaseMs: number, decode: (value: unknown) => Body) {
    this.#clock = clock;
    this.leaseMs = leaseMs;
    this.#decode = decode;
  }

  /** When the next message becomes visible; undefined when the queue is empty. */
  nextVisibleAt(): Date | undefined {
    const times = this.#messages.map((message) => message.visibleAtMs);
    return times.length === 0 ? undefined : new Date(Math.min(...times));
  }

  async send(body: Body, visibleAt?: Date): Promise<void> {
    const visibleAtMs = visibleAt?.getTime() ?? this.#clock.now().getTime();
    this.#messages.push({ text: JSON.stringify(body), visibleAtMs, dequeueCount: 0 });
  }

  async receive(maxCount: number): Promise<LeasedMessage<Body>[]> {
    const nowMs = this.#clock.now().getTime();
    return this.#messages
      .filter((message) => message.visibleAtMs <= nowMs)
      .slice(0, Math.min(maxCount, receiveLimit))
      .map((message) => this.#lease(message));
  }

  #lease(message: StoredMessage): LeasedMessage<Body> {
    message.dequeueCount += 1;
    const receipt = message.dequeueCount;
    const hide = (delayMs: number): void => {
      if (message.dequeueCount !== receipt) return;
      message.visibleAtMs = this.#clock.now().getTime() + delayMs;
    };
    hide(this.leaseMs);
    return {
      body: this.#decode(JSON.parse(message.text)),
      dequeueCount: receipt,
      renew: async () => hide(this.leaseMs),
      complete: async () => {
        if (message.dequeueCount !== receipt) return;
        this.#messages = this.#messages.filter((each) => each !== message);
      },
      abandon: async (delayMs = 0) => hide(delayMs),
    };
  }
}

interface StoredInstance {
  readonly text: string;
  readonly version: number;
  readonly isSettled: boolean;
}

export class MemoryTaskStore implements TaskStore {
  readonly control: MemoryQueue<ControlMessage>;
  readonly work: MemoryQueue<WorkMessage>;
  readonly #instances = new Map<string, StoredInstance>();
  #versionCount = 0;

  constructor(clock: Clock, leaseMs: number) {
    this.control = new MemoryQueue(clock, leaseMs, (value) => controlMessageSchema.parse(value));
    this.work = new MemoryQueue(clock, leaseMs, (value) => workMessageSchema.parse(value));
  }

  async initialize(): Promise<void> {
    // nothing to create
  }

  async load(instanceId: string): Promise<VersionedRecord | undefined> {
    const stored = this.#instances.get(instanceId);
    return stored === undefined ? undefined : decode(stored);
  }

  async commit(
    record: InstanceRecord,
    previous: VersionedRecord | undefined,
  ): Promise<RecordVersion> {
    const stored = this.#instances.get(record.instanceId);
    if (stored?.version.toString() !== previous?.version) throw commitConflict(record.instanceId);
    return this.#write(record, record.outbox.length === 0);
  }

  async settle(record: InstanceRecord, version: RecordVersion): Promise<RecordVersion> {
    const stored = this.#instances.get(record.instanceId);
    if (stored?.version.toString() !== version) return version;
    return this.#write({ ...record, outbox: [] }, true);
  }

  async listUnsettled(): Promise<VersionedRecord[]> {
    return [...this.#instances.values()].filter((stored) => !stored.isSettled).map(decode);
  }

  async list(filter: InstanceFilter): Promise<InstanceHeader[]> {
    return [...this.#instances.values()]
      .map((stored) => instanceHeaderSchema.parse(JSON.parse(stored.text)))
      .filter((header) => matchesFilter(header, filter))
      .sort((one, other) => (one.instanceId < other.instanceId ? -1 : 1));
  }

  async purge(instanceId: string): Promise<boolean> {
    return this.#instances.delete(instanceId);
  }

  #write(record: InstanceRecord, isSettled: boolean): RecordVersion {
    const version = ++this.#versionCount;
    this.#instances.set(record.instanceId, { text: JSON.stringify(record), version, isSettled });
    return version.toString();
  }
}

function decode(stored: StoredInstance): VersionedRecord {
  return {
    record: instanceRecordSchema.parse(JSON.parse(stored.text)),
    version: stored.version.toString(),
  };
}
