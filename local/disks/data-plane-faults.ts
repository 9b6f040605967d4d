import type { ResourceKind } from "./disk-service.ts";

export type BlobOperation = "head" | "read" | "pageList" | "writePage" | "clearPage";

/** What a fault is matched against. */
export interface BlobRequest {
  readonly operation: BlobOperation;
  readonly kind: ResourceKind;
  readonly id: string;
}

export type Fault = {
  /** Default: every request. */
  readonly match?: (request: BlobRequest) => boolean;
  /** How many requests fail; default 1. */
  readonly count?: number;
} & (
  | { readonly status: number; readonly code: string; readonly retryAfterSeconds?: number }
  /** Sends the headers and this many bytes of the body, then cuts the connection. */
  | { readonly cutAfterBytes: number }
  /** Never answers. */
  | { readonly hang: true }
);

/** Faults on demand, and throttling as Azure does it: 503 `ServerBusy` above a concurrency. */
export class DataPlaneFaults {
  #faults: { fault: Fault; left: number }[] = [];
  #maxConcurrent = Infinity;

  failNext(fault: Fault): void {
    this.#faults.push({ fault, left: fault.count ?? 1 });
  }

  /** Requests above this many at once on one blob are answered 503. */
  throttleAbove(maxConcurrent: number): void {
    this.#maxConcurrent = maxConcurrent;
  }

  clear(): void {
    this.#faults = [];
    this.#maxConcurrent = Infinity;
  }

  /** The fault for this request, if any; counts it as used. */
  take(request: BlobRequest, concurrentCount: number): Fault | undefined {
    const entry = this.#faults.find(({ fault }) => fault.match?.(request) ?? true);
    if (entry !== undefined) {
      entry.left--;
      if (entry.left <= 0) this.#faults = this.#faults.filter((other) => other !== entry);
      return entry.fault;
    }
    if (concurrentCount > this.#maxConcurrent) return { status: 503, code: "ServerBusy" };
    return undefined;
  }
}
