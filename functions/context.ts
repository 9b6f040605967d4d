import { randomBytes } from "node:crypto";
import { createCompute } from "#azure/compute/compute.ts";
import { createCredential } from "#azure/identity/credential.ts";
import { createRegion } from "#azure/network/region.ts";
import { createRecordStore } from "#azure/storage/record-store.ts";
import { createStaging } from "#azure/storage/staging.ts";
import { createAgentBundle, findAppRoot } from "./agent-bundle.ts";
import type { AppContext } from "./app-context.ts";
import type { Config } from "./config.ts";
import { createEvents } from "./events.ts";
import { createRecords } from "./records.ts";

/** Composition root: the only place of the app where ports meet their implementations. */
export function createContext(config: Config): AppContext {
  const credential = createCredential(
    config.clientId === undefined ? {} : { clientId: config.clientId },
  );
  const { resourceManagerUrl, tableServiceUrl } = config;
  const clock = (): Date => new Date();
  return {
    config,
    compute: createCompute({ credential, resourceManagerUrl }),
    region: createRegion({ credential, resourceManagerUrl }),
    staging: createStaging({ credential }),
    records: createRecords(createRecordStore({ credential, tableServiceUrl })),
    events: createEvents(clock, (line) => {
      console.log(line);
    }),
    clock,
    randomHex: (byteCount) => randomBytes(byteCount).toString("hex"),
    agentBundle: createAgentBundle(findAppRoot(import.meta.dirname), config.agentBundlePath),
  };
}
