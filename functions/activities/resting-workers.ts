import { HoldfastError } from "#core/lib/errors.ts";
import type { WorkerRecord } from "#core/model/worker-record.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";

/** Rest of a worker between two jobs: idle, deallocated, and back. */
export const restWorker = defineActivity("rest-worker", async (context, { workerId }) => {
  await noteState(context, workerId, "idle");
  return {};
});

/** Writes the state for those who look; a worker that is gone stays so. */
export async function noteState(
  { records, clock }: AppContext,
  workerId: string,
  state: WorkerRecord["state"],
): Promise<WorkerRecord | undefined> {
  const stateAt = clock().toISOString();
  return records.workers.update(workerId, (worker) =>
    worker.state === state ? undefined : { ...worker, state, stateAt },
  );
}

export const startWorkerDeallocation = defineActivity(
  "start-worker-deallocation",
  async (context, { workerId }) => {
    const worker = await noteState(context, workerId, "stopping");
    if (worker !== undefined) await context.compute.startDeallocateVm(worker.vmResourceId);
    return {};
  },
);

export const readWorkerDeallocation = defineActivity(
  "read-worker-deallocation",
  async (context, { workerId }) => {
    const worker = await context.records.workers.get(workerId);
    const vm = await context.compute.readWorkerVm(worker.vmResourceId);
    if (vm === undefined)
      throw new HoldfastError("WorkerGone", `The virtual machine of ${workerId} is gone.`);
    if (vm.power !== "deallocated")
      return { ready: false, waitingFor: `deallocation of ${workerId}` };
    await noteState(context, workerId, "deallocated");
    return { ready: true };
  },
);

/**
 * Starts a deallocated VM. Its agent will be installed anew and enrol with another key, so it gets a
 * new generation: the secret of the one before is used up. Called again, it starts the same one.
 */
export const recoverWorker = defineActivity("recover-worker", async (context, { workerId }) => {
  const { records, compute, clock } = context;
  const stateAt = clock().toISOString();
  const worker = await records.workers.update(workerId, (before) => {
    if (before.state === "recovering") return undefined;
    const { publicKey: _key, enrolledAt: _at, keyLostAt: _lost, dispatch: _old, ...rest } = before;
    return { ...rest, state: "recovering", stateAt, generation: before.generation + 1 };
  });
  if (worker === undefined)
    throw new HoldfastError("WorkerGone", `There is no worker '${workerId}' any more.`);
  await compute.startPowerOnVm(worker.vmResourceId);
  return {};
});
