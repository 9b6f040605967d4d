import { createHash } from "node:crypto";
import { sameId } from "../model/resource-id.ts";
import type { DoctorFacts, PeeringFact, WayFact, ZoneFact } from "../model/doctor-facts.ts";
import type { VirtualNetworkState } from "../ports/region.ts";
import { findEndpoint, recordKey, wantedEndpoints } from "./plan-private-endpoints.ts";
import {
  lastNameOf,
  networkIdOf,
  networkLabelOf,
  regionNamesOf,
  zoneIdOf,
  ZONE_SERVICES,
  type EndpointFacts,
  type RegionConfig,
  type RegionFacts,
} from "./region-plan.ts";

/** A disk access that a job's snapshots or disks name, or that its pool has. */
export interface DiskWay {
  readonly diskAccessId: string;
  readonly exists: boolean;
  /** Where its endpoint is, or would be made. */
  readonly endpointId: string;
  readonly endpoint: EndpointFacts | undefined;
  /** Names in the zone of blobs, as far as a SAS or the zone group tells them, and their addresses. */
  readonly records: readonly { readonly name: string; readonly addresses: readonly string[] }[];
}

/** What the region's facts say of the ways that its workers and the control plane take. */
export function doctorFactsOf(
  facts: RegionFacts,
  config: RegionConfig,
  disks: readonly DiskWay[],
): DoctorFacts {
  const workerNetworkId = regionNamesOf(config).networkId;
  const controlNetworkId = config.hubNetworkId;
  const known = { workerNetworkId, controlNetworkId };
  return {
    ...known,
    ways: [...accountWays(facts, config), ...disks.map((disk) => diskWayOf(disk, config))],
    zones: zoneFacts(facts, config, disks, known),
    peerings: sameId(workerNetworkId, controlNetworkId)
      ? []
      : [
          peeringOf(facts.workerNetwork, workerNetworkId, controlNetworkId),
          peeringOf(facts.hub, controlNetworkId, workerNetworkId),
        ],
  };
}

function accountWays(facts: RegionFacts, config: RegionConfig): WayFact[] {
  return wantedEndpoints(facts, config).flatMap((wanted) => {
    const { targetId, service, endpointId, subnetId } = wanted;
    const found = findEndpoint(facts.endpoints, wanted);
    const isStaging = wanted.subnetId === regionNamesOf(config).subnetId;
    const isRepository = facts.repositories.some(
      ({ account }) => account !== undefined && sameId(account.accountId, targetId),
    );
    const kinds: WayFact["kind"][] =
      service === "queue" ? [isStaging ? "job-queue" : "event-queue"] : [];
    if (service === "blob" && isStaging) kinds.push("staging-blob");
    if (service === "blob" && isRepository) kinds.push("repository");
    return kinds.map((kind) => ({
      kind,
      targetId,
      targetExists: !isStaging || facts.stagingAccount !== undefined,
      service,
      neededBy: ["worker" as const, "control-plane" as const],
      endpoint: endpointFactOf(found, { endpointId, networkId: networkIdOf(subnetId) }),
      zoneId: zoneIdOf(config.zoneGroupId, service),
      recordNames: [lastNameOf(targetId)],
    }));
  });
}

function diskWayOf(disk: DiskWay, config: RegionConfig): WayFact {
  const { networkId } = regionNamesOf(config);
  return {
    kind: "disk",
    targetId: disk.diskAccessId,
    targetExists: disk.exists,
    service: "disks",
    neededBy: ["worker"],
    endpoint: endpointFactOf(disk.endpoint, { endpointId: disk.endpointId, networkId }),
    zoneId: zoneIdOf(config.zoneGroupId, "disks"),
    recordNames: disk.records.map(({ name }) => name),
  };
}

function endpointFactOf(
  found: EndpointFacts | undefined,
  missing: { readonly endpointId: string; readonly networkId: string },
): WayFact["endpoint"] {
  if (found === undefined) {
    const { endpointId: id, networkId } = missing;
    return { id, exists: false, networkId, connection: "Missing", addresses: [] };
  }
  const { endpointId, subnetId, connection, dns } = found;
  return {
    id: endpointId,
    exists: true,
    networkId: networkIdOf(subnetId),
    connection,
    addresses: dns.address === undefined ? [] : [dns.address],
  };
}

function zoneFacts(
  facts: RegionFacts,
  config: RegionConfig,
  disks: readonly DiskWay[],
  { workerNetworkId, controlNetworkId }: Pick<DoctorFacts, "workerNetworkId" | "controlNetworkId">,
): ZoneFact[] {
  return ZONE_SERVICES.map((service) => {
    const id = zoneIdOf(config.zoneGroupId, service);
    const zone = facts.zones[service];
    const links = [workerNetworkId, controlNetworkId].map((networkId) => {
      const link = zone?.links.find((each) => sameId(each.networkId, networkId));
      const linkId = link?.linkId ?? `${id}/virtualNetworkLinks/${networkLabelOf(networkId)}`;
      return { id: linkId, networkId, exists: link !== undefined };
    });
    const accounts = wantedEndpoints(facts, config).filter((each) => each.service === service);
    const records = accounts.map(({ targetId }) => {
      const name = lastNameOf(targetId);
      return { name, addresses: [...(facts.records[recordKey(service, name)] ?? [])] };
    });
    const ofDisks = service === "blob" ? disks.flatMap((disk) => disk.records) : [];
    for (const { name, addresses } of ofDisks) records.push({ name, addresses: [...addresses] });
    return { id, exists: zone !== undefined, links, records };
  });
}

function peeringOf(
  network: VirtualNetworkState | undefined,
  fromNetworkId: string,
  toNetworkId: string,
): PeeringFact {
  const found = network?.peerings.find((each) => sameId(each.remoteNetworkId, toNetworkId));
  return {
    id:
      found?.peeringId ?? `${fromNetworkId}/virtualNetworkPeerings/${networkLabelOf(toNetworkId)}`,
    fromNetworkId,
    toNetworkId,
    state: found?.state ?? "Missing",
  };
}

/**
 * Changes whenever something that a way depends on does; a digest for each way.
 * @param isMeant those of other ways are left out
 */
export function wayDigestsOf(
  facts: DoctorFacts,
  isMeant: (way: WayFact) => boolean = () => true,
): string[] {
  return facts.ways.filter(isMeant).map(({ recordNames, ...way }) => {
    const zone = facts.zones.find(({ id }) => sameId(id, way.zoneId));
    const names = new Set(way.kind === "disk" ? [] : recordNames);
    const records = zone?.records.filter(({ name }) => names.has(name)) ?? [];
    const state = [way, zone?.exists, zone?.links, records, facts.peerings];
    return createHash("sha256").update(JSON.stringify(state)).digest("base64url").slice(0, 22);
  });
}

/** Name in the private zone of blobs that an exported disk's host has, e.g. `md-abc.z12`. */
export function diskRecordOf(host: string): string | undefined {
  const [, name] = /^(.+)\.blob\.(?:storage\.azure|core\.windows)\.net$/i.exec(host) ?? [];
  return name;
}
