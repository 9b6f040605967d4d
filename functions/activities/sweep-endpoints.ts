import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { RESOURCE_TYPES, resourceGroupIdOf, sameId } from "#core/model/resource-id.ts";
import { networkIdOf } from "#core/network/region-plan.ts";
import type { OwnedResource } from "#core/ports/compute.ts";
import type { PrivateEndpointState } from "#core/ports/region.ts";
import type { AppContext } from "../app-context.ts";
import { listEndpoints, readRepositoryAccounts } from "./region-facts.ts";

/** What nobody needs, and how long it is left after it was found first. */
export interface Stray {
  readonly resource: OwnedResource;
  readonly graceSeconds: number;
}

/**
 * Private endpoints of the control plane that lead nowhere: what they led to was deleted, so that
 * Azure calls their connection `Disconnected` for ever; or no repository lies any more in the account
 * that the hub's endpoint leads to. Endpoints of a region are kept as long as their account is: a
 * region without machines may get some tomorrow. The listing comes first, so that one that is made
 * meanwhile is no stray.
 */
export async function findStrayEndpoints(context: AppContext): Promise<readonly Stray[]> {
  const { config } = context;
  const { resourceGroupId } = config.worker;
  const listed = await listEndpoints(context, [resourceGroupId]);
  const own = listed.filter(
    (each) => sameId(resourceGroupIdOf(each.endpointId), resourceGroupId) && isOwn(context, each),
  );
  const type = RESOURCE_TYPES.privateEndpoint;
  const lost = own.filter(({ connection }) => connection === "Disconnected");
  const unused = await findUnused(
    context,
    own.filter((each) => !lost.includes(each)),
  );
  return [
    ...lost.map(({ endpointId, tags }) => ({
      resource: { type, resourceId: endpointId, tags },
      graceSeconds: config.run.workerLostSeconds,
    })),
    ...unused.map(({ endpointId, tags }) => ({
      resource: { type, resourceId: endpointId, tags },
      graceSeconds: config.diskAccess.graceSeconds,
    })),
  ];
}

function isOwn({ config }: AppContext, { tags, provisioning }: PrivateEndpointState): boolean {
  return provisioning === "succeeded" && tags[CONTROL_PLANE_TAG] === config.controlPlaneId;
}

/** Endpoints in the hub for accounts without a repository; none when an account is not readable. */
async function findUnused(
  context: AppContext,
  own: readonly PrivateEndpointState[],
): Promise<readonly PrivateEndpointState[]> {
  const { hubNetworkId } = context.config.network;
  const shared = own.filter(
    ({ service, subnetId }) => service === "blob" && sameId(networkIdOf(subnetId), hubNetworkId),
  );
  if (shared.length === 0) return [];
  const accounts = await readRepositoryAccounts(context);
  if (accounts.some(({ account }) => account === undefined)) return [];
  return shared.filter(
    ({ targetId }) => !accounts.some(({ account }) => sameId(account?.accountId ?? "", targetId)),
  );
}
