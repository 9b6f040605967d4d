import { splitFoundPoint } from "#core/protocol/point-parts.ts";
import type { ImportJob } from "#core/protocol/job.ts";
import type { FoundPoint } from "#core/protocol/worker-event.ts";
import { EventPages } from "./event-pages.ts";
import type { JobTools } from "./job-tools.ts";

/** Tells the points of an import: as many as fit in each page, and those that fit in none in parts. */
export class FoundPages {
  readonly #tools: Pick<JobTools, "sendEvent">;
  readonly #job: ImportJob;
  readonly #signal: AbortSignal;
  readonly #pages: EventPages<FoundPoint>;
  #largePoints = 0;

  constructor(tools: Pick<JobTools, "sendEvent">, job: ImportJob, signal: AbortSignal) {
    this.#tools = tools;
    this.#job = job;
    this.#signal = signal;
    const { jobId, attempt } = job;
    this.#pages = new EventPages((page, points) =>
      tools.sendEvent({ kind: "points-found", jobId, attempt, page, points }, signal),
    );
  }

  /** False when the index could not hold the point. */
  async add(point: FoundPoint): Promise<boolean> {
    if (await this.#pages.add(point)) return true;
    const texts = splitFoundPoint(point);
    if (texts === undefined) return false;
    const { jobId, attempt } = this.#job;
    const largePoint = this.#largePoints++;
    const partCount = texts.length;
    for (const [part, text] of texts.entries()) {
      await this.#tools.sendEvent(
        { kind: "point-part", jobId, attempt, largePoint, part, partCount, text },
        this.#signal,
      );
    }
    return true;
  }

  async flush(): Promise<void> {
    await this.#pages.flush();
  }
}
