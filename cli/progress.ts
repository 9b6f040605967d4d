import type { Terminal } from "./terminal.ts";
import { formatSize } from "./table.ts";

const INTERVAL_MS = 500;

/** Shows how far a long command is, to whoever watches; a pipe gets nothing. */
export class Progress {
  readonly #show: ((line: string) => void) | undefined;
  readonly #totalBytes: number;
  #shownMs = 0;

  constructor(terminal: Terminal, totalBytes: number) {
    this.#show = terminal.showProgress;
    this.#totalBytes = totalBytes;
  }

  /** @param doneBytes position up to which the disk is dealt with */
  update(doneBytes: number): void {
    if (this.#show === undefined || performance.now() - this.#shownMs < INTERVAL_MS) return;
    this.#shownMs = performance.now();
    const percent = Math.floor((doneBytes / this.#totalBytes) * 100);
    this.#show(`${formatSize(doneBytes)} of ${formatSize(this.#totalBytes)}, ${percent} %`);
  }

  /** Removes the line. */
  end(): void {
    if (this.#shownMs > 0) this.#show?.("");
  }
}
