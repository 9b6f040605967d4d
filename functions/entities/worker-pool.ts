import type { EntityContext } from "durable-functions";
import { z } from "zod";
import { WORKER_PROFILES } from "#core/model/worker-configuration.ts";
import * as pool from "#core/workers/pool.ts";
import { EMPTY_POOL, type PoolState } from "#core/workers/pool-state.ts";
import { retire } from "#core/workers/retire-workers.ts";

/**
 * Worker pool: one entity per region holds which worker works for whom. It only serialises; what it
 * decides is `core/workers/pool.ts`.
 */
const time = z.number().int();
const holder = z.object({ holder: z.string().min(1), now: time });
const lease = z.number().int().positive();
const priority = z.enum(["spot", "regular"]);
const workerId = z.string().min(1);

const OPERATIONS = {
  acquire: holder.extend({
    candidateWorkerId: workerId,
    profile: z.enum(WORKER_PROFILES),
    priority,
    mustBeRegular: z.boolean(),
    max: z.number().int().min(1),
    leaseMs: lease,
    waiterMs: lease,
  }),
  advance: holder.extend({
    leaseMs: lease,
    event: z.enum(["made", "enrolled"]).optional(),
    priority: priority.optional(),
  }),
  release: holder,
  discard: holder,
  retire: z.object({
    now: time,
    idleMs: z.number().min(0),
    idleAction: z.enum(["delete", "deallocate"]),
    minimum: z.number().int().min(0),
    recorded: z.array(z.string()),
    lost: z.array(z.string()),
    endedHolders: z.array(z.string()),
  }),
  deallocated: z.object({ workerId, now: time }),
  forget: z.object({ workerId }),
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
    case "advance":
      return pool.advance(state, OPERATIONS.advance.parse(input));
    case "release":
      return { state: pool.release(state, OPERATIONS.release.parse(input)), answer: true };
    case "discard":
      return { state: pool.discard(state, OPERATIONS.discard.parse(input)), answer: true };
    case "holders":
      return { state, answer: pool.holdersOf(state) };
    case "retire":
      return retire(state, OPERATIONS.retire.parse(input));
    case "deallocated": {
      const parsed = OPERATIONS.deallocated.parse(input);
      return { state: pool.markDeallocated(state, parsed.workerId, parsed.now), answer: true };
    }
    case "forget": {
      const parsed = OPERATIONS.forget.parse(input);
      return { state: pool.forget(state, parsed.workerId), answer: true };
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
