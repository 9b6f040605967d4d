/** What the demo says while it runs: steps with their duration, and progress below the running one. */
export interface NarrationOutput {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly write: (text: string) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
}

/** Without a terminal a line of progress is printed at most this often. */
const plainProgressIntervalMs = 3000;
/** While nothing happens but waiting, there is less to say. */
const plainWaitingIntervalMs = 15_000;
const eraseLine = "\r\u001b[2K";

export class Narration {
  readonly #output: NarrationOutput;
  #progress = "";
  #printedAtMs = Number.NEGATIVE_INFINITY;

  constructor(output: NarrationOutput) {
    this.#output = output;
  }

  say(line: string): void {
    this.#clear();
    this.#output.write(`${line}\n`);
  }

  /** Replaces the line of progress; on a plain output it is printed when it changed, now and then. */
  progress(line: string): void {
    this.#show(line, plainProgressIntervalMs);
  }

  /** As progress; on a plain output it is printed at once, and again only when the wait is long. */
  waiting(line: string): void {
    this.#show(line, plainWaitingIntervalMs);
  }

  #show(line: string, plainIntervalMs: number): void {
    if (line === this.#progress) return;
    this.#progress = line;
    if (this.#output.isTerminal) {
      this.#output.write(`${eraseLine}${line.slice(0, this.#output.columns - 1)}`);
    } else if (this.#output.nowMs() - this.#printedAtMs >= plainIntervalMs) {
      this.#printedAtMs = this.#output.nowMs();
      this.#output.write(`${line}\n`);
    }
  }

  /** Runs a step and says how long it took. */
  async step<Result>(title: string, work: () => Promise<Result>): Promise<Result> {
    const startedAtMs = this.#output.nowMs();
    this.say(`\n${title}`);
    // The first line of progress of a step is never held back.
    this.#printedAtMs = Number.NEGATIVE_INFINITY;
    const result = await work();
    this.say(`  done in ${((this.#output.nowMs() - startedAtMs) / 1000).toFixed(1)} s`);
    return result;
  }

  #clear(): void {
    if (this.#output.isTerminal && this.#progress !== "") this.#output.write(eraseLine);
    this.#progress = "";
  }
}
