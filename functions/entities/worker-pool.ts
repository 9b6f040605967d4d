import type { EntityContext } from "durable-functions";
import { z } from "zod";
import * as pool from "#core/workers/pool.ts";
import { EMPTY_POOL, type PoolState } from "#core/workers/pool-state.ts";

/**
 * Worker pool: one entity per region holds which worker works for whom. It only serialises; what it
 * decides is `core/workers/pool.ts`.
 */
const time = z.number().int();
const holder = z.object({ holder: z.string().min(1), now: time });
const lease = z.number().int().positive();

const OPERATIONS = {
  acquire: holder.extend({
    candidateWorkerId: z.string().min(1),
    max: z.number().int().min(1),
    leaseMs: lease,
    waiterMs: lease,
  }),
  renew: holder.extend({ leaseMs: lease }),
  release: holder,
  discard: holder,
  retire: z.object({
    now: time,
    idleMs: z.number().min(0),
    recorded: z.array(z.string()),
    endedHolders: z.array(z.string()).default([]),
  }),
  forget: z.object({ workerId: z.string().min(1) }),
} as const;

export interface PoolAnswer {
  readonly state: PoolState;
  readonly answer: unknown;
}

/** Applies one operation; an unknown one changes nothing. */
export function applyPoolOperation(
  state: PoolState,
  operation: string | undefined,
  input: unknown,
): PoolAnswer {
  switch (operation ?? "") {
    case "acquire":
      return pool.acquire(state, OPERATIONS.acquire.parse(input));
    case "renew":
      return pool.renew(state, OPERATIONS.renew.parse(input));
    case "release":
      return { state: pool.release(state, OPERATIONS.release.parse(input)), answer: true };
    case "discard":
      return { state: pool.discard(state, OPERATIONS.discard.parse(input)), answer: true };
    case "holders":
      return { state, answer: pool.holdersOf(state) };
    case "retire":
      return pool.retire(state, OPERATIONS.retire.parse(input));
    case "forget": {
      const { workerId } = OPERATIONS.forget.parse(input);
      return { state: pool.forget(state, workerId), answer: true };
    }
    default:
      return { state, answer: null };
  }
}

export function workerPool(context: EntityContext<PoolState>): void {
  const before = context.df.getState(() => EMPTY_POOL) ?? EMPTY_POOL;
  const { operationName } = context.df;
  const { state, answer } = applyPoolOperation(before, operationName, context.df.getInput());
  context.df.setState(state);
  context.df.return(answer);
}
