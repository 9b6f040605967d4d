import type { ComputePort } from "#core/ports/compute.ts";
import type { RegionPort } from "#core/ports/region.ts";
import type { BundleReference, StagingPort } from "#core/ports/staging.ts";
import type { Config } from "./config.ts";
import type { Events } from "./events.ts";
import type { Records } from "./records.ts";

/** What the handlers of the app work with. `context.ts` composes the real one, tests their own. */
export interface AppContext {
  readonly config: Config;
  readonly compute: ComputePort;
  readonly region: RegionPort;
  readonly staging: StagingPort;
  readonly records: Records;
  readonly events: Events;
  readonly clock: () => Date;
  /** Random bytes of cryptographic quality, lower-case hex. */
  readonly randomHex: (byteCount: number) => string;
  readonly agentBundle: AgentBundle;
}

export interface AgentBundle {
  /** What the build says of it. */
  describe(): Promise<BundleReference & { readonly version: string }>;
  read(): Promise<Uint8Array>;
}
