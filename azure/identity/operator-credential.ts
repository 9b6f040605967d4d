/** Who a person at a terminal is. The product's own programs use `credential.ts`. */
import { DefaultAzureCredential } from "@azure/identity";
import type { TokenCredential } from "@azure/core-auth";

/** Environment, workload or managed identity, or who signed in with `az login`. */
export function createOperatorCredential(): TokenCredential {
  return new DefaultAzureCredential();
}
