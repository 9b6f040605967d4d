/**
 * Reads the doctor's probes together with what Resource Manager says, and names the very object that
 * is missing or wrong: a *finding* says what failed, why it usually fails and what to do. A worker
 * that cannot even enrol has no probes: then the facts alone speak. Pure; the same input gives the
 * same text.
 *
 * Facts that look wrong while every probe of theirs passes are no findings: who brings own name
 * servers may have none of our zones.
 */
import type { Finding, ProbeResult } from "../model/doctor.ts";
import type { DoctorFacts, WayFact } from "../model/doctor-facts.ts";
import { sameId } from "../model/resource-id.ts";
import { findBreaks, type Break } from "./find-breaks.ts";
import { PROBE_ADVICE } from "./probe-advice.ts";

export interface Explanation {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
}

/** @param probes of a worker; nothing when none could report: every way is suspect then */
export function explainDoctor(
  facts: DoctorFacts,
  probes: readonly ProbeResult[] | undefined,
): Explanation {
  const breaks = findBreaks(facts);
  if (probes === undefined) {
    const findings = breaks.map((each) => findingOf(each, []));
    return { ok: findings.length === 0, findings };
  }
  const failed = probes.filter(({ ok }) => !ok);
  const found = new Map<string, { readonly cause: Break; readonly probes: string[] }>();
  const unexplained: ProbeResult[] = [];
  for (const probe of failed) {
    const causes = breaks.filter(
      (each) => !each.isUnseen && each.ways.some((way) => isProbeOf(probe, way)),
    );
    if (causes.length === 0) unexplained.push(probe);
    for (const cause of causes) {
      const known = found.get(cause.what) ?? { cause, probes: [] };
      known.probes.push(probe.name);
      found.set(cause.what, known);
    }
  }
  // Nobody looked along these: what Resource Manager says is all there is.
  const unseen = breaks.filter(
    (each) =>
      !found.has(each.what) &&
      (each.isUnseen || !each.ways.some((way) => probes.some((probe) => isProbeOf(probe, way)))),
  );
  const findings = [
    ...[...found.values()].map((each) => findingOf(each.cause, each.probes)),
    ...unseen.map((each) => findingOf(each, [])),
    ...unexplained.map(adviceOn),
  ];
  return { ok: findings.length === 0, findings };
}

/** A probe of a named target is about that target only; else about all of its kind. */
export function isProbeOf(probe: ProbeResult, way: WayFact): boolean {
  if (way.kind !== probe.kind) return false;
  const { targetId } = probe;
  return targetId === undefined || sameId(targetId, way.targetId);
}

function findingOf({ what, why, todo, resourceId }: Break, probes: readonly string[]): Finding {
  return { what, why, todo, resourceId, probes: [...probes] };
}

function adviceOn(probe: ProbeResult): Finding {
  const at = probe.address === undefined ? probe.host : `${probe.host} (${probe.address})`;
  const { why, todo } = PROBE_ADVICE[probe.code];
  return {
    what: `${probe.name} at ${at}: ${probe.message}`,
    why,
    todo,
    probes: [probe.name],
    ...(probe.targetId === undefined ? {} : { resourceId: probe.targetId }),
  };
}

/** Findings that one session's reason can hold; the region's record has all. */
const FINDINGS_IN_TEXT_MAX = 5;

/** One text for a session's end: what, why, what to do. */
export function textOfFindings(location: string, findings: readonly Finding[]): string {
  const shown = findings
    .slice(0, FINDINGS_IN_TEXT_MAX)
    .map(({ what, why, todo }) => `${what}. ${why} ${todo}`);
  const more = findings.length - shown.length;
  const rest = more > 0 ? ` ${more} more are in the region's doctor report.` : "";
  return `The private network of ${location} does not work: ${shown.join(" ")}${rest}`;
}
