/**
 * A fixed budget of bytes for pack buffers, shared by all disks that one process backs up. Buffers
 * are reused: the garbage collector returns large ones too late to keep the process small.
 */
import { assert } from "../lib/assert.ts";

interface Waiter {
  readonly sizeBytes: number;
  readonly resolve: (buffer: Buffer) => void;
}

export class BufferPool {
  readonly #budgetBytes: number;
  #allocatedBytes = 0;
  #free: Buffer[] = [];
  readonly #waiters: Waiter[] = [];

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  /** Waits, first come first served, until the budget has room; give it back with `release`. */
  async acquire(sizeBytes: number, signal: AbortSignal): Promise<Buffer> {
    assert(sizeBytes <= this.#budgetBytes, `a buffer of ${sizeBytes} bytes exceeds the budget`);
    signal.throwIfAborted();
    if (this.#waiters.length === 0) {
      const buffer = this.#take(sizeBytes);
      if (buffer !== undefined) return buffer;
    }
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const waiter = { sizeBytes, resolve };
    const onAbort = (): void => {
      const position = this.#waiters.indexOf(waiter);
      if (position >= 0) this.#waiters.splice(position, 1);
      this.#serve();
      reject(signal.reason);
    };
    this.#waiters.push(waiter);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  release(buffer: Buffer): void {
    this.#free.push(buffer);
    this.#serve();
  }

  #serve(): void {
    for (let waiter = this.#waiters[0]; waiter !== undefined; waiter = this.#waiters[0]) {
      const buffer = this.#take(waiter.sizeBytes);
      if (buffer === undefined) return;
      this.#waiters.shift();
      waiter.resolve(buffer);
    }
  }

  #take(sizeBytes: number): Buffer | undefined {
    const reusable = this.#free.findIndex((buffer) => buffer.length === sizeBytes);
    if (reusable >= 0) return this.#free.splice(reusable, 1)[0];
    while (this.#allocatedBytes + sizeBytes > this.#budgetBytes) {
      const dropped = this.#free.shift();
      if (dropped === undefined) return undefined;
      this.#allocatedBytes -= dropped.length;
    }
    this.#allocatedBytes += sizeBytes;
    return Buffer.allocUnsafeSlow(sizeBytes);
  }
}
