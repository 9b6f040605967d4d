/**
 * The private network of a region over Resource Manager: virtual networks and peerings, private
 * endpoints, private DNS zones, the staging account.
 */
import type { RegionPort } from "#core/ports/region.ts";
import { createResourceManagerClients, type ResourceManagerOptions } from "../resource-manager.ts";
import { createResourceRequests } from "../resource-requests.ts";
import { createStagingAccounts } from "../storage/staging-accounts.ts";
import { createPrivateDns } from "./private-dns.ts";
import { createPrivateEndpoints } from "./private-endpoints.ts";
import { createNetworkReads } from "./read-networks.ts";
import { createNetworkWrites } from "./write-networks.ts";

export function createRegion(options: ResourceManagerOptions): RegionPort {
  const clientsOf = createResourceManagerClients(options);
  return {
    ...createNetworkReads(clientsOf),
    ...createNetworkWrites(clientsOf),
    ...createPrivateEndpoints(clientsOf),
    ...createPrivateDns(createResourceRequests(options)),
    ...createStagingAccounts(clientsOf),
  };
}
