import type { WorkerConfiguration } from "#core/model/worker-configuration.ts";
import { defaultWorkerConfiguration } from "#core/workers/default-configuration.ts";
import type { AppContext } from "./app-context.ts";

/** The operator's configuration of a region's workers, or the automatic one. */
export async function readWorkerConfiguration(
  { records, config }: Pick<AppContext, "records" | "config">,
  location: string,
): Promise<WorkerConfiguration> {
  const found = await records.workerConfigurations.read(location);
  return found?.value ?? defaultWorkerConfiguration(config.worker, location);
}
