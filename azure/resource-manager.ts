import { ComputeManagementClient } from "@azure/arm-compute";
import { NetworkManagementClient } from "@azure/arm-network";
import { StorageManagementClient } from "@azure/arm-storage";
import type { TokenCredential } from "@azure/core-auth";
import { boundedRequests } from "./bounded-requests.ts";

/** Scope of tokens for Resource Manager in the public cloud, whatever its address is. */
export const RESOURCE_MANAGER_SCOPE = "https://management.azure.com/.default";

/** Retries of one request inside the SDK; longer waits are the orchestrator's. */
const RETRIES_MAX = 3;
const RETRY_DELAY_MS = 500;
const RETRY_DELAY_MAX_MS = 8_000;
/** First distance of two looks at a running operation; `Retry-After` of the answer wins. */
export const POLL_INTERVAL_MS = 1_000;

export interface ResourceManagerOptions {
  readonly credential: TokenCredential;
  /** `https://management.azure.com`, or another cloud's or the local Azure's address. */
  readonly resourceManagerUrl: string;
  readonly tokenScope?: string | undefined;
}

/** SDK clients of one subscription. */
export interface SubscriptionClients {
  readonly compute: ComputeManagementClient;
  readonly network: NetworkManagementClient;
  readonly storage: StorageManagementClient;
}

export type ClientsOf = (subscriptionId: string) => SubscriptionClients;

/** Makes the clients of a subscription once. */
export function createResourceManagerClients(options: ResourceManagerOptions): ClientsOf {
  const known = new Map<string, SubscriptionClients>();
  const clientOptions = {
    endpoint: options.resourceManagerUrl,
    credentials: { scopes: [options.tokenScope ?? RESOURCE_MANAGER_SCOPE] },
    additionalPolicies: [boundedRequests()],
    retryOptions: {
      maxRetries: RETRIES_MAX,
      retryDelayInMs: RETRY_DELAY_MS,
      maxRetryDelayInMs: RETRY_DELAY_MAX_MS,
    },
  };
  return (subscriptionId) => {
    const key = subscriptionId.toLowerCase();
    const found = known.get(key);
    if (found !== undefined) return found;
    const made: SubscriptionClients = {
      compute: new ComputeManagementClient(options.credential, subscriptionId, clientOptions),
      network: new NetworkManagementClient(options.credential, subscriptionId, clientOptions),
      storage: new StorageManagementClient(options.credential, subscriptionId, clientOptions),
    };
    known.set(key, made);
    return made;
  };
}

/** The part of an SDK poller that sends the first request. */
interface Submittable {
  submitted(): Promise<void>;
}

/**
 * Sends the first request of a long-running operation and lets go of it. The pollers of the installed
 * SDKs send it when they are made; `submitted()` settles with its answer. They are thenable (awaiting
 * one waits for the whole operation), hence never returned from an async function.
 */
export async function submit(start: () => Submittable): Promise<void> {
  await start().submitted();
}
