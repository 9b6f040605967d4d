/**
 * What an orchestration has decided: the difference between its history and what its function
 * wants. `id` is the sequence number that ties a decision to the events that answer it; the
 * library counts the same numbers on its side, so both must agree.
 */
import type { HistoryEvent } from "./history-events.ts";

export type Decision =
  | {
      readonly kind: "activity";
      readonly id: number;
      readonly name: string;
      readonly input: unknown;
    }
  | { readonly kind: "timer"; readonly id: number; readonly fireAt: string }
  | {
      readonly kind: "sub-orchestration";
      readonly id: number;
      readonly name: string;
      readonly instanceId: string;
      readonly input: unknown;
      readonly version: string;
    }
  | {
      readonly kind: "event";
      readonly id: number;
      readonly targetId: string;
      readonly name: string;
      readonly data: string;
    };

export interface Completion {
  readonly id: number;
  readonly status: "Completed" | "Failed" | "Terminated" | "ContinuedAsNew";
  /** JSON text; plain text of the failure for `Failed`. */
  readonly result: string | null;
  readonly details: string;
  readonly failureDetails: unknown;
  /** Events that came after continue-as-new and belong to the next execution. */
  readonly carriedEvents: readonly HistoryEvent[];
}

export interface ReplayOutcome {
  readonly decisions: readonly Decision[];
  readonly completion: Completion | undefined;
  readonly isSuspended: boolean;
}

/** Code and history disagree: the orchestrator is not deterministic or was changed under way. */
export class NonDeterminismError extends Error {
  override readonly name = "NonDeterminismError";
}

/** An activity or sub-orchestration that failed; `details` travels to the library. */
export class OrchestrationFailure extends Error {
  override readonly name = "OrchestrationFailure";
  readonly details: string;
  readonly failureDetails: unknown;

  constructor(message: string, details: string, failureDetails: unknown) {
    super(message);
    this.details = details;
    this.failureDetails = failureDetails;
  }
}
