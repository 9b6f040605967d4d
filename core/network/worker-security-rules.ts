/**
 * The rules of the security group that the product makes for its workers: what they need, and nothing
 * else, in both directions. Name server, metadata and host agent at 168.63.129.16 and 169.254.169.254
 * are reached whatever the rules say (network-security-groups-overview). Private endpoints in the same
 * subnet take no notice of them, because the subnet does not apply rules to endpoints.
 */
import type { SecurityRule } from "../ports/region.ts";

/** Every endpoint is HTTPS. */
const ENDPOINT_PORT = 443;
/** The last one that Azure allows: behind it come Azure's own rules only, which let too much pass. */
const LAST_PRIORITY = 4096;

/** @param mirrorPort of the operator's mirror for security updates, where workers use one */
export function workerSecurityRules(mirrorPort: number | undefined): SecurityRule[] {
  const allowed = (name: string, priority: number, port: number): SecurityRule => ({
    name,
    priority,
    direction: "Outbound",
    access: "Allow",
    protocol: "Tcp",
    sources: ["VirtualNetwork"],
    destinations: ["VirtualNetwork"],
    ports: [String(port)],
  });
  const nothing = (name: string, direction: SecurityRule["direction"]): SecurityRule => ({
    name,
    priority: LAST_PRIORITY,
    direction,
    access: "Deny",
    protocol: "*",
    sources: ["*"],
    destinations: ["*"],
    ports: ["*"],
  });
  const isMirrorApart = mirrorPort !== undefined && mirrorPort !== ENDPOINT_PORT;
  return [
    allowed("holdfast-endpoints", 1000, ENDPOINT_PORT),
    ...(isMirrorApart ? [allowed("holdfast-update-mirror", 1010, mirrorPort)] : []),
    nothing("holdfast-nothing-else-out", "Outbound"),
    nothing("holdfast-nothing-in", "Inbound"),
  ];
}

/** Whether a group has these rules and no other one, in whatever order and case. */
export function hasExactly(
  found: readonly SecurityRule[],
  wanted: readonly SecurityRule[],
): boolean {
  const keyOf = (rule: SecurityRule): string =>
    JSON.stringify([
      rule.name,
      rule.priority,
      rule.direction,
      rule.access,
      rule.protocol,
      rule.sources,
      rule.destinations,
      rule.ports,
    ]).toLowerCase();
  const keys = (rules: readonly SecurityRule[]): string => rules.map(keyOf).toSorted().join("\n");
  return keys(found) === keys(wanted);
}

/** TCP port of a mirror's URL. */
export function portOfUrl(url: string): number {
  const { port, protocol } = new URL(url);
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}
