import type { EntityContext } from "durable-functions";
import { z } from "zod";
import { EMPTY_WORK_LIST, takeNext, type WorkList } from "#core/schedule/work-list.ts";

/** Work list of one policy run: serialises `core/schedule/work-list.ts`, and ends with the run. */
const takeSchema = z.object({
  lane: z.number().int().min(0),
  turn: z.number().int().min(0),
  count: z.number().int().min(0),
});

export function workList(context: EntityContext<WorkList>): void {
  if (context.df.operationName === "clear") {
    context.df.destructOnExit();
    context.df.return(true);
    return;
  }
  const before = context.df.getState(() => EMPTY_WORK_LIST) ?? EMPTY_WORK_LIST;
  const { list, index } = takeNext(before, takeSchema.parse(context.df.getInput()));
  context.df.setState(list);
  context.df.return({ index });
}
