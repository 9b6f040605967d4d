import type { EntityContext } from "durable-functions";
import { z } from "zod";
import {
  FREE_TURN,
  isFree,
  leaveTurn,
  takeTurn,
  type RegionTurn,
} from "#core/network/region-turn.ts";

/** One entity per region, `region-turn@<location>`: serialises `core/network/region-turn.ts`. */
const takeSchema = z.object({
  holder: z.string().min(1),
  now: z.number().int(),
  leaseMs: z.number().int().positive(),
});
const lookSchema = takeSchema.pick({ now: true });
const leaveSchema = takeSchema.pick({ holder: true });

export interface TurnAnswer {
  readonly state: RegionTurn;
  readonly answer: unknown;
}

/** Applies one operation; an unknown one changes nothing. */
export function applyTurnOperation(
  state: RegionTurn,
  operation: string | undefined,
  input: unknown,
): TurnAnswer {
  switch (operation ?? "") {
    case "take": {
      const { turn, isOurs } = takeTurn(state, takeSchema.parse(input));
      return { state: turn, answer: { isOurs } };
    }
    case "look":
      return { state, answer: { isFree: isFree(state, lookSchema.parse(input).now) } };
    case "leave":
      return { state: leaveTurn(state, leaveSchema.parse(input).holder), answer: true };
    default:
      return { state, answer: null };
  }
}

export function regionTurn(context: EntityContext<RegionTurn>): void {
  const before = context.df.getState(() => FREE_TURN) ?? FREE_TURN;
  const { operationName } = context.df;
  const { state, answer } = applyTurnOperation(before, operationName, context.df.getInput());
  context.df.setState(state);
  context.df.return(answer);
}
