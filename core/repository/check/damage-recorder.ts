import type { ContainerKind } from "./disk-objects.ts";

export interface DamagedObject {
  readonly kind: ContainerKind;
  readonly id: string;
  /** Numbers of the frames that cannot be read; `all` for an object that is gone or cut. */
  readonly frames: "all" | ReadonlySet<number>;
}

/** Bound on the frames of one disk that are told apart; beyond it whole objects are recorded. */
const FRAMES_MAX = 100_000;

/** Packs and indexes of one disk that the next backup must not build on. */
export class DamageRecorder {
  readonly #objects = new Map<
    string,
    { kind: ContainerKind; id: string; frames: "all" | Set<number> }
  >();
  #frameCount = 0;

  addObject(kind: ContainerKind, id: string): void {
    this.#objects.set(`${kind}/${id}`, { kind, id, frames: "all" });
  }

  addFrame(kind: ContainerKind, id: string, frameNumber: number): void {
    const key = `${kind}/${id}`;
    const known = this.#objects.get(key) ?? { kind, id, frames: new Set<number>() };
    this.#objects.set(key, known);
    if (known.frames === "all" || known.frames.has(frameNumber)) return;
    if (this.#frameCount >= FRAMES_MAX) known.frames = "all";
    else {
      known.frames.add(frameNumber);
      this.#frameCount++;
    }
  }

  isDamaged(kind: ContainerKind, id: string): boolean {
    return this.#objects.get(`${kind}/${id}`)?.frames === "all";
  }

  objects(): Iterable<DamagedObject> {
    return this.#objects.values();
  }
}
