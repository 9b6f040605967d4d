/** How far back a rate looks: long enough to be calm, short enough to follow. */
const windowMs = 5000;

interface Sample {
  readonly atMs: number;
  readonly readBytes: number;
}

/** Rates of disks that are being read, from what they report now and then. */
export class ReadRates {
  readonly #nowMs: () => number;
  readonly #samples = new Map<string, Sample[]>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Bytes per second over the last seconds; 0 until there are two reports. */
  note(diskId: string, readBytes: number): number {
    const atMs = this.#nowMs();
    const before = this.#samples.get(diskId) ?? [];
    // A job that was dispatched again starts from the beginning.
    const valid = before.filter((sample) => sample.readBytes <= readBytes);
    // The newest one outside the window stays: it is where the window starts.
    const start = valid.findLastIndex((sample) => atMs - sample.atMs >= windowMs);
    const samples = [...valid.slice(Math.max(0, start)), { atMs, readBytes }];
    this.#samples.set(diskId, samples);
    const [first] = samples;
    if (first === undefined || first.atMs === atMs) return 0;
    return ((readBytes - first.readBytes) * 1000) / (atMs - first.atMs);
  }
}
