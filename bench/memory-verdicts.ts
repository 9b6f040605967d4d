/** The bars on peak memory: an absolute one, and that the size of the disk makes no difference. */
export interface MemoryPeaks {
  /** Highest so far after each step, MiB. */
  readonly fullMib: number;
  readonly incrementalMib: number;
  readonly restoreMib: number;
}

export interface MemoryVerdict {
  readonly bar: string;
  readonly valueMib: number;
  readonly barMib: number;
  readonly isMet: boolean;
}

const PEAK_BAR_MIB = 512;
/** What chance alone makes of it: repeated runs of one size differ by up to 58 MiB. */
const DIFFERENCE_BAR_MIB = 64;

/** @param peaks one per size of disk */
export function memoryVerdictsOf(peaks: readonly MemoryPeaks[]): MemoryVerdict[] {
  const steps = ["fullMib", "incrementalMib", "restoreMib"] as const;
  const difference = (step: (typeof steps)[number]): number => {
    const values = peaks.map((peak) => peak[step]);
    return Math.max(...values) - Math.min(...values);
  };
  const highest = Math.max(...peaks.flatMap((peak) => steps.map((step) => peak[step])));
  const largest = Math.max(...steps.map(difference));
  return [
    verdictOf("peak of any size", highest, PEAK_BAR_MIB),
    verdictOf("difference between sizes", largest, DIFFERENCE_BAR_MIB),
  ];
}

function verdictOf(bar: string, valueMib: number, barMib: number): MemoryVerdict {
  return { bar, valueMib, barMib, isMet: valueMib < barMib };
}
