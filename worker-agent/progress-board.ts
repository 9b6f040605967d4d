import type { DiskProgress } from "#core/protocol/worker-event.ts";

/** Latest figures of each disk of the job that runs; read at intervals by whoever reports them. */
export class ProgressBoard {
  readonly #disks = new Map<string, DiskProgress>();
  #isNew = false;

  set(progress: DiskProgress): void {
    this.#disks.set(progress.diskId, progress);
    this.#isNew = true;
  }

  /** All disks when something changed since the last call, else undefined. */
  takeNews(): DiskProgress[] | undefined {
    if (!this.#isNew) return undefined;
    this.#isNew = false;
    return [...this.#disks.values()];
  }
}
