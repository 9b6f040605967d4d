import { codeOf, HoldfastError } from "#core/lib/errors.ts";
import type { ChangedRange } from "#core/ports/disk-data.ts";
import type { PageList } from "./page-list-parser.ts";

/** Half open, in bytes of the disk. */
export interface ListingWindow {
  readonly from: number;
  readonly to: number;
}

export interface PageRequest {
  readonly window: ListingWindow;
  readonly marker: string | undefined;
  /** A smaller window can be asked for: fail with `RequestTimedOut` at the first timeout. */
  readonly canSplit: boolean;
}

/** Asks for one page of the list. */
export type FetchPage = (request: PageRequest) => Promise<PageList>;

/** Azure cuts a list here; a full answer without a marker may have been cut silently. */
const maxRangesPerPage = 10_000;
/** A window this small cannot hold more ranges than one answer. */
const smallestWindowBytes = maxRangesPerPage * 512;
/** Listing a very fragmented disk in one go times out in Azure; this many bytes are asked at once. */
const firstWindowBytes = 1024 ** 4;

/**
 * All ranges of a span of the disk, ascending, clipped to it (the footer's page is dropped) and
 * joined when adjacent and of one kind. Follows markers; a window that times out, or whose answer is
 * full but carries no marker, is halved and asked again.
 */
export async function* listRanges(
  span: ListingWindow,
  fetchPage: FetchPage,
): AsyncGenerator<ChangedRange> {
  let pending: ChangedRange | undefined;
  for await (const range of listUnjoined(span, fetchPage)) {
    if (pending === undefined) pending = range;
    else if (
      pending.kind === range.kind &&
      pending.offsetBytes + pending.lengthBytes === range.offsetBytes
    ) {
      pending = { ...pending, lengthBytes: pending.lengthBytes + range.lengthBytes };
    } else {
      yield pending;
      pending = range;
    }
  }
  if (pending !== undefined) yield pending;
}

async function* listUnjoined(
  span: ListingWindow,
  fetchPage: FetchPage,
): AsyncGenerator<ChangedRange> {
  let position = span.from;
  let windowBytes = firstWindowBytes;
  while (position < span.to) {
    const window = { from: position, to: Math.min(span.to, position + windowBytes) };
    let marker: string | undefined;
    let isSplit = false;
    do {
      const page = await fetchOrSplit(fetchPage, window, marker);
      if (page === undefined) {
        isSplit = true;
        break;
      }
      for (const range of page.ranges) {
        const clipped = clip(range, { from: position, to: window.to });
        if (clipped === undefined) continue;
        yield clipped;
        position = clipped.offsetBytes + clipped.lengthBytes;
      }
      if (page.nextMarker !== undefined && page.nextMarker === marker) {
        throw new HoldfastError(
          "MalformedPageList",
          "Azure answered the same marker twice while listing page ranges; the list has no end.",
        );
      }
      marker = page.nextMarker;
    } while (marker !== undefined);
    if (isSplit) windowBytes = halfOf(window.to - position);
    else position = window.to;
  }
}

/** undefined when the window must be made smaller. */
async function fetchOrSplit(
  fetchPage: FetchPage,
  window: ListingWindow,
  marker: string | undefined,
): Promise<PageList | undefined> {
  const canSplit = window.to - window.from > smallestWindowBytes;
  let page: PageList;
  try {
    page = await fetchPage({ window, marker, canSplit });
  } catch (error) {
    if (codeOf(error) === "RequestTimedOut" && canSplit) return undefined;
    throw error;
  }
  const mayBeCut = page.ranges.length >= maxRangesPerPage && page.nextMarker === undefined;
  return mayBeCut && canSplit ? undefined : page;
}

function halfOf(lengthBytes: number): number {
  return Math.max(smallestWindowBytes, Math.ceil(lengthBytes / 2 / 512) * 512);
}

function clip(range: ChangedRange, { from, to }: ListingWindow): ChangedRange | undefined {
  const start = Math.max(range.offsetBytes, from);
  const end = Math.min(range.offsetBytes + range.lengthBytes, to);
  return start < end
    ? { offsetBytes: start, lengthBytes: end - start, kind: range.kind }
    : undefined;
}
