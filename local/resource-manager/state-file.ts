import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { JsonValue } from "./json.ts";

/** A change that nobody waits for reaches the disk after this time. */
const saveDelayMs = 25;

/**
 * One JSON document on disk. Writes replace the file atomically; `changed` collects changes for a
 * short while, `flush` writes at once (before an answer that promises that something is stored).
 */
export class StateFile implements Disposable {
  readonly #path: string;
  readonly #snapshot: () => JsonValue;
  #timer: NodeJS.Timeout | undefined;

  /** @param snapshot called whenever the file is written: the whole document */
  constructor(path: string, snapshot: () => JsonValue) {
    this.#path = path;
    this.#snapshot = snapshot;
  }

  /** The stored document, or undefined when there is none yet. Throws on a damaged one. */
  read(): unknown {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
      throw error;
    }
    return JSON.parse(text);
  }

  changed(): void {
    this.#timer ??= setTimeout(() => this.flush(), saveDelayMs);
  }

  /** Writes if anything changed since the last write. */
  flush(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    mkdirSync(dirname(this.#path), { recursive: true });
    const temporary = `${this.#path}.new`;
    writeFileSync(temporary, JSON.stringify(this.#snapshot()), { mode: 0o600 });
    renameSync(temporary, this.#path);
  }

  [Symbol.dispose](): void {
    this.flush();
  }
}
