import { HoldfastError } from "#core/lib/errors.ts";
import type { WorkerRecord } from "#core/model/worker-record.ts";
import type { AppContext } from "../app-context.ts";

/** Why a worker's VM does no work and never will; `undefined` when it does or may. */
export async function whyGone(
  { compute }: AppContext,
  worker: WorkerRecord,
): Promise<string | undefined> {
  const vm = await compute.readWorkerVm(worker.vmResourceId);
  if (vm === undefined) return "its virtual machine does not exist any more";
  if (vm.power === "running" || vm.power === "starting" || vm.power === "unknown") return undefined;
  return `its virtual machine is ${vm.power}`;
}

/**
 * For what waits for a worker that is being launched. Throws `HoldfastError` code `WorkerEvicted` (of
 * a spot worker) or `WorkerGone`, retry `backoff`: another worker can do the job.
 */
export async function requireThere(context: AppContext, worker: WorkerRecord): Promise<void> {
  const reason = await whyGone(context, worker);
  if (reason === undefined) return;
  const code = worker.launch.priority === "spot" ? "WorkerEvicted" : "WorkerGone";
  throw new HoldfastError(code, `Worker ${worker.workerId} is lost: ${reason}.`, {
    retry: "backoff",
  });
}
