/**
 * The durable engine with the real durable-functions library on a virtual clock: random programs,
 * duplicated and reordered messages, crashes at every step of the commit protocol. One seed is one
 * run, always the same.
 */
import type { Log } from "#local/functions-host/log.ts";
import { HubClient } from "#local/functions-host/durable/hub-client.ts";
import type { InstanceRecord } from "#local/functions-host/durable/instance-record.ts";
import { MemoryTaskStore } from "#local/functions-host/durable/memory-task-store.ts";
import { TaskHub } from "#local/functions-host/durable/task-hub.ts";
import type { LeasedMessage } from "#local/functions-host/durable/task-store.ts";
import { WorkerFunctionCalls } from "#local/functions-host/durable/worker-function-calls.ts";
import { systemClock } from "#local/functions-host/clock.ts";
import { FunctionWorker } from "#local/functions-host/worker/function-worker.ts";
import { type FaultRates, FaultyTaskStore, SimulatedCrash } from "./faulty-task-store.ts";
import {
  awaitedEvents,
  entityAmounts,
  expectedTotal,
  forgetCalls,
  type Program,
  randomProgram,
  registerPrograms,
} from "./orchestration-programs.ts";
import { SeededRandom } from "./seeded-random.ts";
import { VirtualClock } from "./virtual-clock.ts";

export interface SimulationReport {
  readonly seed: number;
  readonly orchestrationCount: number;
  readonly crashCount: number;
  readonly stepCount: number;
  readonly simulatedDays: number;
}

/** As in the real extension. */
const leaseMs = 300_000;
const stepLimit = 20_000;
const silentLog: Log = () => undefined;

let sharedCalls: Promise<WorkerFunctionCalls> | undefined;

/** One worker for all runs: the library keeps the first host that it finds. */
async function functionCalls(): Promise<WorkerFunctionCalls> {
  sharedCalls ??= (async () => {
    const worker = new FunctionWorker({
      log: silentLog,
      clock: systemClock,
      functionTimeoutMs: undefined,
      onTimeout: () => undefined,
    });
    await worker.load(registerPrograms);
    return new WorkerFunctionCalls(worker);
  })();
  return sharedCalls;
}

/** @throws Error naming the seed when an invariant is broken */
export async function runSimulation(seed: number): Promise<SimulationReport> {
  forgetCalls();
  try {
    return await new Simulation(seed, await functionCalls()).run();
  } catch (error) {
    throw new Error(`simulation with seed ${seed} failed: ${String(error)}`, { cause: error });
  }
}

class Simulation {
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #clock = new VirtualClock(new Date("2026-01-01T00:00:00Z"));
  readonly #memory = new MemoryTaskStore(this.#clock, leaseMs);
  readonly #committed = new Map<string, InstanceRecord>();
  readonly #calls: WorkerFunctionCalls;
  readonly #rates: FaultRates;
  readonly #programs = new Map<string, Program>();
  #store: FaultyTaskStore;
  #hub: TaskHub;
  #crashCount = 0;
  #stepCount = 0;

  constructor(seed: number, calls: WorkerFunctionCalls) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#calls = calls;
    // Some runs without any fault: then a failure is not one of recovery.
    const isRough = this.#random.chance(0.8);
    this.#rates = { crash: isRough ? 0.01 : 0, duplicate: isRough ? 0.1 : 0 };
    const count = this.#random.integer(1, 5);
    for (let index = 0; index < count; index += 1) {
      const instanceId = `s${seed}-${index}`;
      this.#programs.set(instanceId, randomProgram(this.#random, instanceId));
    }
    [this.#store, this.#hub] = this.#newProcess();
  }

  async run(): Promise<SimulationReport> {
    const pendingRequests = this.#clientRequests();
    while (await this.#step(pendingRequests)) {
      this.#stepCount += 1;
      if (this.#stepCount > stepLimit) throw new Error(`not done: ${await this.#describe()}`);
    }
    await this.#assertOutcome();
    return {
      seed: this.#seed,
      orchestrationCount: this.#committed.size,
      crashCount: this.#crashCount,
      stepCount: this.#stepCount,
      simulatedDays:
        (this.#clock.now().getTime() - Date.parse("2026-01-01T00:00:00Z")) / 86_400_000,
    };
  }

  #newProcess(): [FaultyTaskStore, TaskHub] {
    const store = new FaultyTaskStore(this.#memory, this.#random, this.#rates, this.#committed);
    const hub = new TaskHub({
      store,
      calls: this.#calls,
      clock: this.#clock,
      newId: () => this.#random.id(),
      log: silentLog,
      validatesReplay: true,
      onSent: () => undefined,
    });
    return [store, hub];
  }

  /** Things that users do; each is repeated until it was answered. */
  #clientRequests(): (() => Promise<boolean>)[] {
    return [...this.#programs].flatMap(([instanceId, program]) => [
      async () => {
        if (this.#committed.has(instanceId)) return true;
        const input = JSON.stringify(program);
        await new HubClient(this.#hub).start({ name: "program", instanceId, input });
        return true;
      },
      ...awaitedEvents(instanceId, program.steps).map((event) => async () => {
        const client = new HubClient(this.#hub);
        const value = JSON.stringify(event.value);
        // "ended" after a crash that hid the answer: the event had arrived.
        return (await client.raiseEvent(event.instanceId, event.name, value)) !== "not-found";
      }),
    ]);
  }

  /** One thing happens. False when nothing is left to happen. */
  async #step(requests: (() => Promise<boolean>)[]): Promise<boolean> {
    try {
      if (requests.length > 0 && this.#random.chance(0.3)) {
        const request = this.#random.pick(requests);
        if (await request()) requests.splice(requests.indexOf(request), 1);
        return true;
      }
      const control = await this.#store.control.receive(this.#random.integer(1, 8));
      const work = await this.#store.work.receive(this.#random.integer(0, 3));
      if (control.length + work.length === 0) return this.#passTime(requests.length > 0);
      const groups = Map.groupBy(control, (message) => message.body.instanceId);
      await settleAll([
        ...[...groups].map(async ([id, messages]) => this.#hub.handleControl(id, messages)),
        ...work.map(async (message) => this.#handleWork(message)),
      ]);
      return true;
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      await this.#restart();
      return true;
    }
  }

  async #handleWork(message: LeasedMessage<Parameters<WorkerFunctionCalls["callActivity"]>[0]>) {
    await this.#hub.handleWork(message);
  }

  #passTime(hasRequests: boolean): boolean {
    const times = [this.#memory.control.nextVisibleAt(), this.#memory.work.nextVisibleAt()];
    const next = times.filter((time) => time !== undefined).sort((a, b) => +a - +b)[0];
    if (next !== undefined) this.#clock.advanceTo(next);
    return next !== undefined || hasRequests;
  }

  async #restart(): Promise<void> {
    for (;;) {
      this.#crashCount += 1;
      [this.#store, this.#hub] = this.#newProcess();
      try {
        await this.#hub.recover();
        return;
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
    }
  }

  async #assertOutcome(): Promise<void> {
    let amounts = 0;
    for (const [instanceId, program] of this.#programs) {
      amounts += entityAmounts(program.steps) * (program.rounds + 1);
      const record = (await this.#memory.load(instanceId))?.record;
      const expected = JSON.stringify(expectedTotal(program));
      if (record?.status !== "Completed" || record.output !== expected) {
        throw new Error(
          `${instanceId} is ${record?.status} with ${record?.output}, expected ${expected}: ${await this.#describe()}`,
        );
      }
    }
    const entities = await this.#memory.list({ kind: "entity" });
    const sum = entities.reduce((total, { entity }) => total + Number(entity?.state ?? 0), 0);
    if (sum !== amounts) throw new Error(`entities hold ${sum}, expected ${amounts}`);
  }

  async #describe(): Promise<string> {
    const all = await this.#memory.list({ kind: "orchestration" });
    const states = all.map(({ instanceId, status, output }) => `${instanceId} ${status} ${output}`);
    return `instances: ${states.join(", ")}; programs: ${JSON.stringify([...this.#programs])}`;
  }
}

/** Like Promise.all, but lets everything end first: no work leaks into the next step. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failures = results.flatMap((each) =>
    each.status === "rejected" ? [each.reason as unknown] : [],
  );
  const [first] = failures.sort(
    (one, other) => Number(one instanceof SimulatedCrash) - Number(other instanceof SimulatedCrash),
  );
  if (first !== undefined) throw first;
}
