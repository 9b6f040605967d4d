import { stringAt } from "../json.ts";
import type { ResourceStore } from "../provider.ts";
import { idKey } from "../resource-id.ts";

/** Removes every record that zone groups wrote for an endpoint. */
export function removeEndpointRecords(resources: ResourceStore, endpointId: string): void {
  for (const record of resources.list("Microsoft.Network/privateDnsZones/A"))
    if (idKey(stringAt(record.internal, "privateEndpointId") ?? "") === idKey(endpointId))
      resources.delete(record.id);
}
