import type { EntityContext } from "durable-functions";
import { z } from "zod";
import * as slots from "#core/network/disk-slots.ts";
import { EMPTY_DISK_SLOTS, type DiskSlots } from "#core/network/disk-slots.ts";

/**
 * Slots of the disk accesses of one region and subscription: one entity `<region>~<subscription>`
 * holds who exports what through which. It only serialises; what it decides is
 * `core/network/disk-slots.ts`.
 */
const time = z.number().int();
const holder = z.object({ holder: z.string().min(1), now: time });
const lease = z.number().int().positive();
const names = z.array(z.string().min(1));
const wish = z.object({
  item: z.string().min(1),
  access: z.string().optional(),
  fixed: z.boolean().optional(),
});

const OPERATIONS = {
  announce: holder.extend({
    slots: z.number().int().min(0),
    leaseMs: lease,
    jobsMax: z.number().int().min(1),
    isBeside: z.boolean().optional(),
  }),
  take: holder.extend({
    wishes: z.array(wish),
    accesses: names,
    leaseMs: lease,
    waiterMs: lease,
  }),
  renew: holder.extend({ leaseMs: lease }),
  release: holder,
  leave: holder,
  retire: z.object({ now: time, names }),
  forget: z.object({ names }),
} as const;

export interface SlotsAnswer {
  readonly state: DiskSlots;
  readonly answer: unknown;
}

/** Applies one operation; an unknown one changes nothing. */
export function applySlotsOperation(
  state: DiskSlots,
  operation: string | undefined,
  input: unknown,
): SlotsAnswer {
  switch (operation ?? "") {
    case "announce":
      return slots.announce(state, OPERATIONS.announce.parse(input));
    case "take":
      return slots.take(state, OPERATIONS.take.parse(input));
    case "renew":
      return slots.renew(state, OPERATIONS.renew.parse(input));
    case "release":
      return { state: slots.release(state, OPERATIONS.release.parse(input)), answer: true };
    case "leave":
      return { state: slots.leave(state, OPERATIONS.leave.parse(input)), answer: true };
    case "holders":
      return { state, answer: slots.slotHoldersOf(state) };
    case "retire":
      return slots.retire(state, OPERATIONS.retire.parse(input));
    case "forget":
      return { state: slots.forget(state, OPERATIONS.forget.parse(input).names), answer: true };
    default:
      return { state, answer: null };
  }
}

export function diskAccessSlots(context: EntityContext<DiskSlots>): void {
  const before = context.df.getState(() => EMPTY_DISK_SLOTS) ?? EMPTY_DISK_SLOTS;
  const { operationName } = context.df;
  const { state, answer } = applySlotsOperation(before, operationName, context.df.getInput());
  context.df.setState(state);
  context.df.return(answer);
}
