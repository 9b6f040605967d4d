/**
 * Grants and revocations of a SAS on a disk or snapshot. Both are long-running operations that end
 * within seconds, so they are waited for here, until the caller's signal says otherwise.
 */
import type { AccessUri } from "@azure/arm-compute";
import { HoldfastError } from "#core/lib/errors.ts";
import type { ComputePort } from "#core/ports/compute.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { POLL_INTERVAL_MS, type ClientsOf } from "../resource-manager.ts";

type AccessCalls = Pick<ComputePort, "grantAccess" | "revokeAccess">;

export function createDiskAccess(clientsOf: ClientsOf): AccessCalls {
  return {
    async grantAccess(resourceId, access, durationSeconds, signal) {
      const granted = await callAzure(`grant ${access} access to ${resourceId}`, () =>
        waitFor(signal, (options) => {
          const { subscriptionId, resourceGroup, names } = parseResourceId(resourceId);
          const group = groupOf(clientsOf, subscriptionId, resourceId);
          const body = { access, durationInSeconds: durationSeconds };
          return group.grantAccess(resourceGroup, names[0], body, options);
        }),
      );
      return sasOf(resourceId, granted);
    },

    async revokeAccess(resourceId, signal) {
      await readAzure(`revoke access to ${resourceId}`, () =>
        waitFor(signal, (options) => {
          const { subscriptionId, resourceGroup, names } = parseResourceId(resourceId);
          const group = groupOf(clientsOf, subscriptionId, resourceId);
          return group.revokeAccess(resourceGroup, names[0], options);
        }),
      );
    },
  };
}

interface WaitOptions {
  readonly abortSignal: AbortSignal;
  readonly updateIntervalInMs: number;
}

/** The part of an SDK poller that waits for the operation's end. */
interface Waitable<Result> {
  pollUntilDone(options: { readonly abortSignal: AbortSignal }): Promise<Result>;
}

async function waitFor<Result>(
  signal: AbortSignal,
  start: (options: WaitOptions) => Waitable<Result>,
): Promise<Result> {
  const poller = start({ abortSignal: signal, updateIntervalInMs: POLL_INTERVAL_MS });
  return poller.pollUntilDone({ abortSignal: signal });
}

function groupOf(clientsOf: ClientsOf, subscriptionId: string, resourceId: string) {
  const { compute } = clientsOf(subscriptionId);
  return /\/providers\/Microsoft\.Compute\/snapshots\//i.test(resourceId)
    ? compute.snapshots
    : compute.disks;
}

/** The operation's result is `{ "accessSAS": "https://..." }` (Disks - Grant Access, AccessUri). */
function sasOf(resourceId: string, granted: AccessUri): string {
  const sas = granted.accessSAS;
  if (typeof sas === "string" && sas.startsWith("https://")) return sas;
  throw new HoldfastError(
    "SasMissing",
    `Azure granted access to ${resourceId} but returned no SAS. The grant must be revoked and asked for again.`,
    { retry: "backoff" },
  );
}
