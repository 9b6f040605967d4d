import { z } from "zod";
import { probeKindSchema } from "./doctor.ts";

/**
 * What Resource Manager says of the ways that workers of a region, and the control plane, take: plain
 * data for `core/network/explain-doctor.ts`. A *way* is one service behind one private endpoint,
 * reached by one name. It needs the service, the endpoint, a DNS zone that holds the name's record and
 * is linked to the network of who looks, and peerings where the endpoint lies in another network.
 */
const id = z.string();

export const wayFactSchema = z.object({
  kind: probeKindSchema,
  /** Storage account or disk access. */
  targetId: id,
  targetExists: z.boolean(),
  service: z.enum(["blob", "queue", "disks"]),
  /** Who has to get there; the control plane needs the staging accounts. */
  neededBy: z.array(z.enum(["worker", "control-plane"])),
  endpoint: z.object({
    /** Empty when it is missing and was never seen. */
    id,
    exists: z.boolean(),
    /** Network of its subnet. */
    networkId: id,
    /** Of its connection: `Approved`, `Pending`, `Rejected`, `Disconnected`. */
    connection: z.string(),
    addresses: z.array(z.string()),
  }),
  zoneId: id,
  /** Labels of the records that the name needs in the zone; empty: not known, nothing is checked. */
  recordNames: z.array(z.string()),
});
export type WayFact = z.infer<typeof wayFactSchema>;

export const zoneFactSchema = z.object({
  id,
  exists: z.boolean(),
  links: z.array(z.object({ id, networkId: id, exists: z.boolean() })),
  /** Addresses by name, of the names that ways need. */
  records: z.array(z.object({ name: z.string(), addresses: z.array(z.string()) })),
});
export type ZoneFact = z.infer<typeof zoneFactSchema>;

/** One direction; packets pass when both are `Connected`. */
export const peeringFactSchema = z.object({
  /** Empty when it is missing and was never seen. */
  id,
  fromNetworkId: id,
  toNetworkId: id,
  /** `Connected`, `Initiated`, `Disconnected`, or `Missing`. */
  state: z.string(),
});
export type PeeringFact = z.infer<typeof peeringFactSchema>;

export const doctorFactsSchema = z.object({
  workerNetworkId: id,
  controlNetworkId: id,
  ways: z.array(wayFactSchema),
  zones: z.array(zoneFactSchema),
  peerings: z.array(peeringFactSchema),
});
export type DoctorFacts = z.infer<typeof doctorFactsSchema>;
