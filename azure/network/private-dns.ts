import { z } from "zod";
import type { RegionPort } from "#core/ports/region.ts";
import { provisioningOf } from "../compute/provisioning.ts";
import { callAzure, readAzure } from "../errors.ts";
import type { ResourceRequests } from "../resource-requests.ts";

/** https://learn.microsoft.com/rest/api/dns/privatedns/private-zones */
const API_VERSION = "2024-06-01";

const provisioned = z.object({ provisioningState: z.string().optional() });
const zoneSchema = z.object({ id: z.string(), properties: provisioned.default({}) });
const linkSchema = z.object({
  id: z.string(),
  properties: provisioned.extend({
    virtualNetwork: z.object({ id: z.string() }).optional(),
  }),
});
const recordSchema = z.object({
  properties: z.object({
    aRecords: z.array(z.object({ ipv4Address: z.string() })).default([]),
  }),
});

type DnsCalls = Pick<RegionPort, "readZone" | "readAddressRecord" | "startZone" | "startZoneLink">;

/** Private DNS zones: their place is always `global`. */
export function createPrivateDns(requests: ResourceRequests): DnsCalls {
  return {
    async readZone(zoneId) {
      const links = await readAzure(`list links of zone ${zoneId}`, () =>
        requests.list(`${zoneId}/virtualNetworkLinks`, API_VERSION, linkSchema),
      );
      if (links === undefined) return undefined;
      // A zone with links has long been made: that read is spared.
      const zone =
        links.length > 0
          ? undefined
          : await readAzure(`read zone ${zoneId}`, () =>
              requests.get(zoneId, API_VERSION, zoneSchema),
            );
      if (links.length === 0 && zone === undefined) return undefined;
      return {
        zoneId,
        provisioning: provisioningOf(zone?.properties.provisioningState ?? "Succeeded"),
        links: links.map(({ id, properties }) => ({
          linkId: id,
          networkId: properties.virtualNetwork?.id ?? "",
          provisioning: provisioningOf(properties.provisioningState),
        })),
      };
    },

    async readAddressRecord(zoneId, name) {
      const id = `${zoneId}/A/${name}`;
      const record = await readAzure(`read record ${id}`, () =>
        requests.get(id, API_VERSION, recordSchema),
      );
      return record?.properties.aRecords.map(({ ipv4Address }) => ipv4Address);
    },

    async startZone(zoneId, tags) {
      const body = { location: "global", tags, properties: {} };
      await callAzure(`create zone ${zoneId}`, () => requests.put(zoneId, API_VERSION, body));
    },

    async startZoneLink(linkId, networkId, tags) {
      const properties = { virtualNetwork: { id: networkId }, registrationEnabled: false };
      const body = { location: "global", tags, properties };
      await callAzure(`link ${networkId} to the zone of ${linkId}`, () =>
        requests.put(linkId, API_VERSION, body),
      );
    },
  };
}
