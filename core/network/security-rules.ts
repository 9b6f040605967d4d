import type { SecurityRule } from "../ports/region.ts";
import { contains, overlap } from "./address-ranges.ts";

/** Every endpoint is HTTPS. */
const PORT = 443;

export interface Flow {
  readonly direction: SecurityRule["direction"];
  readonly source: string;
  readonly destination: string;
  /** Prefixes that the tag `VirtualNetwork` stands for: the network and what it is peered with. */
  readonly networks: readonly string[];
}

/**
 * The rule that denies TCP 443 of a flow, also of a part of it. Rules are tried by priority, the first
 * that matches decides; after all of them Azure's own AllowVnetOutBound and AllowVnetInBound let the
 * flow pass (network-security-groups-overview).
 */
export function findBlockingRule(
  rules: readonly SecurityRule[],
  flow: Flow,
): SecurityRule | undefined {
  const ordered = rules
    .filter(({ direction }) => direction === flow.direction)
    .toSorted((left, right) => left.priority - right.priority);
  for (const rule of ordered) {
    if (!isOfPort(rule)) continue;
    const touches =
      touchesAny(rule.sources, flow.source, flow) &&
      touchesAny(rule.destinations, flow.destination, flow);
    if (!touches) continue;
    if (rule.access === "Deny") return rule;
    const covers =
      coversAll(rule.sources, flow.source, flow) &&
      coversAll(rule.destinations, flow.destination, flow);
    if (covers) return undefined;
  }
  return undefined;
}

function isOfPort({ protocol, ports }: SecurityRule): boolean {
  if (protocol !== "*" && protocol.toLowerCase() !== "tcp") return false;
  return ports.some((each) => {
    if (each === "*") return true;
    const [first = "", last = first] = each.split("-");
    return Number(first) <= PORT && PORT <= Number(last);
  });
}

/** Tags other than `VirtualNetwork` stand for public addresses or for those of Azure itself. */
function touchesAny(ends: readonly string[], prefix: string, { networks }: Flow): boolean {
  return ends.some((end) => {
    if (isAny(end)) return true;
    if (end === "VirtualNetwork") return networks.some((network) => overlap(network, prefix));
    return overlap(withLength(end), prefix);
  });
}

function coversAll(ends: readonly string[], prefix: string, { networks }: Flow): boolean {
  return ends.some((end) => {
    if (isAny(end)) return true;
    if (end === "VirtualNetwork") return networks.some((network) => contains(network, prefix));
    return contains(withLength(end), prefix);
  });
}

function isAny(end: string): boolean {
  return end === "*" || end === "0.0.0.0/0";
}

function withLength(end: string): string {
  return /^\d+(\.\d+){3}$/.test(end) ? `${end}/32` : end;
}
