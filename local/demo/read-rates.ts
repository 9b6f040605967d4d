/** How far back a rate looks: long enough to be calm, short enough to follow. */
const windowMs = 5000;

interface Sample {
  readonly atMs: number;
  readonly readBytes: number;
}

/** Rates of disks that are being read, from what their worker reports now and then. */
export class ReadRates {
  readonly #nowMs: () => number;
  /** Reports that brought something new, oldest first. */
  readonly #samples = new Map<string, Sample[]>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Bytes per second over the last seconds; undefined until there are two different reports. */
  note(diskId: string, readBytes: number): number | undefined {
    const atMs = this.#nowMs();
    const samples = this.#keep(diskId, { atMs, readBytes });
    const first = samples.at(0);
    const last = samples.at(-1);
    if (first === undefined || last === undefined || first.atMs === last.atMs) return undefined;
    if (atMs - last.atMs >= windowMs) return 0;
    return ((last.readBytes - first.readBytes) * 1000) / (last.atMs - first.atMs);
  }

  #keep(diskId: string, sample: Sample): readonly Sample[] {
    const before = this.#samples.get(diskId) ?? [];
    if (before.at(-1)?.readBytes === sample.readBytes) return before;
    // A job that was dispatched again starts from the beginning.
    const valid = before.filter(({ readBytes }) => readBytes < sample.readBytes);
    // The newest one outside the window stays: it is where the window starts.
    const start = valid.findLastIndex(({ atMs }) => sample.atMs - atMs >= windowMs);
    const samples = [...valid.slice(Math.max(0, start)), sample];
    this.#samples.set(diskId, samples);
    return samples;
  }
}
