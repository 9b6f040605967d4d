import type { DoctorFacts, PeeringFact, WayFact, ZoneFact } from "../model/doctor-facts.ts";
import { sameId } from "../model/resource-id.ts";

/** One object that is missing or wrong, with every way that leads over it. */
export interface Break {
  readonly resourceId: string;
  readonly what: string;
  readonly why: string;
  readonly todo: string;
  readonly ways: readonly WayFact[];
  /** Only the control plane takes its ways over it: no worker sees whether it works. */
  readonly isUnseen: boolean;
}

type Fault = Omit<Break, "ways" | "isUnseen"> & { readonly isUnseen?: boolean };
type Viewer = WayFact["neededBy"][number];

/**
 * Everything on the ways of a region that Resource Manager shows as broken; once per object. What
 * follows from an earlier fault of a way is not named: a missing endpoint has no record either.
 */
export function findBreaks(facts: DoctorFacts): readonly Break[] {
  const found = new Map<string, { readonly fault: Fault; readonly ways: WayFact[] }>();
  for (const way of facts.ways) {
    for (const fault of faultsOf(facts, way)) {
      const key = `${fault.resourceId.toLowerCase()}\n${fault.what}`;
      const known = found.get(key) ?? { fault, ways: [] };
      known.ways.push(way);
      found.set(key, known);
    }
  }
  return [...found.values()].map(({ fault, ways }) => ({ isUnseen: false, ...fault, ways }));
}

function faultsOf(facts: DoctorFacts, way: WayFact): readonly Fault[] {
  const target = faultOfTarget(way) ?? faultOfEndpoint(way);
  if (target !== undefined) return [target];
  const zone = facts.zones.find(({ id }) => sameId(id, way.zoneId));
  return [
    ...(zone === undefined ? [] : faultsOfZone(facts, way, zone)),
    ...way.neededBy.flatMap((viewer) => faultsOfPeerings(facts, way, viewer)),
  ];
}

const TARGET_NAMES: Readonly<Record<WayFact["kind"], string>> = {
  "staging-blob": "staging account",
  "job-queue": "staging account",
  "event-queue": "control plane's storage account",
  repository: "repository's storage account",
  disk: "disk access",
};

function faultOfTarget({ kind, targetId, targetExists }: WayFact): Fault | undefined {
  if (targetExists) return undefined;
  const what = TARGET_NAMES[kind];
  return {
    resourceId: targetId,
    what: `The ${what} ${nameOf(targetId)} is missing`,
    why: `Resource Manager has no ${what} of this id: it was deleted.`,
    todo:
      kind === "disk"
        ? `Run the backup again, which makes ${targetId} and its private endpoint again; snapshots that name it stay unreadable until then.`
        : `Create ${targetId} again, or run the region's plan.`,
  };
}

function faultOfEndpoint({ kind, endpoint, service, targetId }: WayFact): Fault | undefined {
  const { id, exists, connection } = endpoint;
  const leadsTo = `leads to ${service} of the ${TARGET_NAMES[kind]} ${nameOf(targetId)}`;
  if (!exists)
    return {
      resourceId: id === "" ? targetId : id,
      what:
        id === ""
          ? `No private endpoint ${leadsTo}`
          : `The private endpoint ${nameOf(id)} is missing; it ${leadsTo}`,
      why: "Without it the service has no address in the network, and its name leads to a public address, to nothing, or to an address where nothing is.",
      todo: `Create the private endpoint ${id} again, or run the region's plan.`,
    };
  if (connection === "Approved") return undefined;
  const state = connection.toLowerCase();
  return {
    resourceId: id,
    what: `The connection of the private endpoint ${nameOf(id)} is ${state}; it ${leadsTo}`,
    why: "A service answers through an endpoint only while its connection is approved; the owner of the service can reject or remove it.",
    todo:
      connection === "Disconnected"
        ? `Delete the private endpoint ${id} and run the region's plan, which makes it again.`
        : `Approve the connection of ${id} on ${targetId}.`,
  };
}

function faultsOfZone(facts: DoctorFacts, way: WayFact, zone: ZoneFact): readonly Fault[] {
  const name = nameOf(zone.id);
  if (!zone.exists)
    return [
      {
        resourceId: zone.id,
        what: `The private DNS zone ${name} is missing`,
        why: "Without it the names of private endpoints lead to public addresses, which workers have no way to.",
        todo: `Create the zone ${zone.id} and link it to ${facts.workerNetworkId}, or run the region's plan.`,
      },
    ];
  return [
    ...way.neededBy.flatMap((viewer) => faultOfLink(facts, zone, viewer) ?? []),
    ...way.recordNames.flatMap((record) => faultOfRecord(way, zone, record) ?? []),
  ];
}

function faultOfLink(facts: DoctorFacts, zone: ZoneFact, viewer: Viewer): Fault | undefined {
  const networkId = networkIdOf(facts, viewer);
  const link = zone.links.find((each) => sameId(each.networkId, networkId));
  if (link?.exists === true) return undefined;
  const missing = link === undefined ? "" : `: its link ${nameOf(link.id)} is missing`;
  return {
    isUnseen: viewer === "control-plane" && !sameId(networkId, facts.workerNetworkId),
    resourceId: link?.id ?? zone.id,
    what: `The private DNS zone ${nameOf(zone.id)} is not linked to the network ${nameOf(networkId)}${missing}`,
    why: "A network asks only the zones that are linked to it; without the link the names lead to public addresses.",
    todo: `Link ${zone.id} to ${networkId}${link === undefined ? "" : ` (${link.id})`}, or run the region's plan.`,
  };
}

function faultOfRecord(way: WayFact, zone: ZoneFact, name: string): Fault | undefined {
  const wanted = way.endpoint.addresses;
  const record = zone.records.find((each) => each.name.toLowerCase() === name.toLowerCase());
  const found = record?.addresses ?? [];
  if (found.some((address) => wanted.includes(address))) return undefined;
  const resourceId = `${zone.id}/A/${name}`;
  const address = wanted[0] ?? "its endpoint's address";
  if (found.length === 0)
    return {
      resourceId,
      what: `The DNS record ${name} is missing in the zone ${nameOf(zone.id)}`,
      why: "A linked zone without the record says that there is no such name. The endpoint's DNS zone group writes the record; it goes with the group, or when somebody deletes it.",
      todo: `Add the A record ${resourceId} with ${address}, or run the region's plan.`,
    };
  return {
    resourceId,
    what: `The DNS record ${name} in the zone ${nameOf(zone.id)} leads to ${found.join(", ")}, not to ${address}`,
    why: "The record is left from an endpoint that is gone, or another endpoint of the same service took the name.",
    todo: `Let ${resourceId} lead to ${address}, the address of ${way.endpoint.id}.`,
  };
}

function faultsOfPeerings(facts: DoctorFacts, way: WayFact, viewer: Viewer): readonly Fault[] {
  const from = networkIdOf(facts, viewer);
  const to = way.endpoint.networkId;
  if (sameId(from, to)) return [];
  const broken = facts.peerings.filter(
    (each) => joins(each, from, to) && each.state !== "Connected",
  );
  // Deleting one direction disconnects the other: the one that is gone is the fault.
  const missing = broken.filter(({ state }) => state === "Missing");
  return (missing.length > 0 ? missing : broken).map(faultOfPeering);
}

function joins({ fromNetworkId, toNetworkId }: PeeringFact, left: string, right: string): boolean {
  if (sameId(fromNetworkId, left)) return sameId(toNetworkId, right);
  return sameId(fromNetworkId, right) && sameId(toNetworkId, left);
}

function faultOfPeering({ id, fromNetworkId, toNetworkId, state }: PeeringFact): Fault {
  const name = id === "" ? "" : ` ${nameOf(id)}`;
  const again = state === "Missing" ? "Create" : "Delete and create";
  return {
    resourceId: id === "" ? fromNetworkId : id,
    what: `The peering${name} from ${nameOf(fromNetworkId)} to ${nameOf(toNetworkId)} is ${state.toLowerCase()}`,
    why: "Two networks reach each other only while the peerings of both directions are connected; deleting one disconnects the other.",
    todo: `${again} the peering${name} of ${fromNetworkId} to ${toNetworkId}, or run the region's plan.`,
  };
}

function networkIdOf(facts: DoctorFacts, viewer: Viewer): string {
  return viewer === "worker" ? facts.workerNetworkId : facts.controlNetworkId;
}

/** Last segment of a resource id. */
function nameOf(resourceId: string): string {
  return resourceId.slice(resourceId.lastIndexOf("/") + 1);
}
