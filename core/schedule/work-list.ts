/**
 * Work list: hands out the numbers 0 … count-1, each once, to the lanes of a policy's run (the
 * sliding window). A lane that asks again with the same ticket, because a message came twice, gets
 * the same number again.
 */
export interface WorkList {
  readonly next: number;
  /** Last ticket of each lane and the number that it got. */
  readonly taken: Readonly<
    Record<string, { readonly turn: number; readonly index: number | null }>
  >;
}

export const EMPTY_WORK_LIST: WorkList = { next: 0, taken: {} };

export interface TakeRequest {
  readonly lane: number;
  /** Counts the lane's requests from 0. */
  readonly turn: number;
  readonly count: number;
}

export function takeNext(
  list: WorkList,
  request: TakeRequest,
): { readonly list: WorkList; readonly index: number | null } {
  const lane = String(request.lane);
  const previous = list.taken[lane];
  if (previous !== undefined && previous.turn >= request.turn) {
    return { list, index: previous.turn === request.turn ? previous.index : null };
  }
  const index = list.next < request.count ? list.next : null;
  return {
    index,
    list: {
      next: index === null ? list.next : list.next + 1,
      taken: { ...list.taken, [lane]: { turn: request.turn, index } },
    },
  };
}
