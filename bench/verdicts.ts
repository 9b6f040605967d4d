/** The bars that a run is measured against: ratios of medians within one run, nothing absolute. */
import { STEPS, median, type Round, type Step } from "./measurement.ts";

export type Medians = Record<Step, { readonly seconds: number; readonly storedMib: number }>;

const MIB = 2 ** 20;

/** Stored bytes of an incremental are those that it added; NaN where a tool has no such step. */
export function mediansOf(rounds: readonly Round[]): Medians {
  const of = (step: Step, storedBytes: (round: Round) => number | undefined) => ({
    seconds: median(rounds.map((round) => round[step]?.seconds ?? Number.NaN)),
    storedMib: median(rounds.map((round) => (storedBytes(round) ?? Number.NaN) / MIB)),
  });
  const stored = (round: Round, step: Step) => round[step]?.storedBytes ?? Number.NaN;
  return {
    first: of(STEPS[0], (round) => stored(round, "first")),
    incremental: of(STEPS[1], (round) => stored(round, "incremental") - stored(round, "first")),
    restore: of(STEPS[2], () => undefined),
  };
}

interface Bar {
  readonly name: string;
  readonly peer: string;
  /** From the medians of Holdfast and of the peer. */
  readonly value: (ours: Medians, peer: Medians) => number;
  readonly bar: number;
  readonly aim: number;
  readonly isBetter: "higher" | "lower";
}

const BARS: readonly Bar[] = [
  {
    name: "first backup, times as fast as restic",
    peer: "restic",
    value: (ours, peer) => peer.first.seconds / ours.first.seconds,
    bar: 1.7,
    aim: 2.5,
    isBetter: "higher",
  },
  {
    name: "first backup, times as long as zstd -3 -T2",
    peer: "zstd",
    value: (ours, peer) => ours.first.seconds / peer.first.seconds,
    bar: 1.4,
    aim: 1.4,
    isBetter: "lower",
  },
  {
    name: "first backup, stored share of restic's",
    peer: "restic",
    value: (ours, peer) => ours.first.storedMib / peer.first.storedMib,
    bar: 1.05,
    aim: 1.05,
    isBetter: "lower",
  },
  {
    name: "incremental, times as fast as restic",
    peer: "restic",
    value: (ours, peer) => peer.incremental.seconds / ours.incremental.seconds,
    bar: 10,
    aim: 10,
    isBetter: "higher",
  },
  {
    name: "incremental, stored share of restic's",
    peer: "restic",
    value: (ours, peer) => ours.incremental.storedMib / peer.incremental.storedMib,
    bar: 0.6,
    aim: 0.4,
    isBetter: "lower",
  },
  {
    name: "restore, times as fast as restic",
    peer: "restic",
    value: (ours, peer) => peer.restore.seconds / ours.restore.seconds,
    bar: 1,
    aim: 2,
    isBetter: "higher",
  },
];

export interface Verdict {
  readonly name: string;
  readonly value: number;
  readonly bar: number;
  readonly aim: number;
  readonly verdict: "met, aim reached" | "met" | "missed";
}

/** One for each bar whose peer was run. */
export function verdictsOf(medians: ReadonlyMap<string, Medians>): Verdict[] {
  const ours = medians.get("holdfast");
  return BARS.flatMap(({ name, peer, value, bar, aim, isBetter }) => {
    const other = medians.get(peer);
    if (ours === undefined || other === undefined) return [];
    const found = value(ours, other);
    const reaches = (limit: number) => (isBetter === "higher" ? found >= limit : found <= limit);
    const verdict = reaches(aim) ? "met, aim reached" : reaches(bar) ? "met" : "missed";
    return [{ name, value: Math.round(found * 1000) / 1000, bar, aim, verdict } as const];
  });
}
