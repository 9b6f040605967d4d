import { XMLParser } from "fast-xml-parser";
import { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import type { ChangedRange } from "#core/ports/disk-data.ts";

/** One answer of Get Page Ranges, ends turned from inclusive to lengths. */
export interface PageList {
  /** Ascending and disjoint; may reach past the disk into the footer's page. */
  readonly ranges: readonly ChangedRange[];
  readonly nextMarker: string | undefined;
}

const pageSizeBytes = 512;

const digits = z.string().regex(/^\d{1,15}$/);
const rangeSchema = z.strictObject({ Start: digits, End: digits });
const listSchema = z.strictObject({
  PageRange: z.array(rangeSchema).default([]),
  ClearRange: z.array(rangeSchema).default([]),
  NextMarker: z.string().default(""),
});
const answerSchema = z.object({
  // An element without children is read as an empty text.
  PageList: z.union([listSchema, z.literal("").transform(() => listSchema.parse({}))]),
});

const parser = new XMLParser({
  ignoreDeclaration: true,
  ignoreAttributes: true,
  parseTagValue: false,
  isArray: (name) => name === "PageRange" || name === "ClearRange",
});

/**
 * Strict: anything unexpected is an error, because a range that is lost here is data that a backup
 * silently misses. Ends on the wire are inclusive (Get Page Ranges, Blob service REST API).
 */
export function parsePageList(xml: string): PageList {
  const answer = answerSchema.safeParse(parseXml(xml));
  if (!answer.success) {
    throw malformed(answer.error.issues[0]?.message ?? "unexpected shape");
  }
  const { PageRange, ClearRange, NextMarker } = answer.data.PageList;
  const ranges = [
    ...PageRange.map((range) => toChangedRange(range, "data")),
    ...ClearRange.map((range) => toChangedRange(range, "clear")),
  ].sort((left, right) => left.offsetBytes - right.offsetBytes);
  let end = 0;
  for (const { offsetBytes, lengthBytes } of ranges) {
    if (offsetBytes < end) throw malformed(`ranges overlap at byte ${offsetBytes}`);
    end = offsetBytes + lengthBytes;
  }
  return { ranges, nextMarker: NextMarker === "" ? undefined : NextMarker };
}

function parseXml(xml: string): unknown {
  try {
    return parser.parse(xml, true);
  } catch (error) {
    throw malformed("not XML", error);
  }
}

function toChangedRange(
  { Start, End }: { Start: string; End: string },
  kind: ChangedRange["kind"],
): ChangedRange {
  const offsetBytes = Number(Start);
  const lengthBytes = Number(End) + 1 - offsetBytes;
  const isAligned = offsetBytes % pageSizeBytes === 0 && lengthBytes % pageSizeBytes === 0;
  if (lengthBytes <= 0 || !isAligned) {
    throw malformed(`range ${Start} to ${End} is not made of whole 512-byte pages`);
  }
  return { offsetBytes, lengthBytes, kind };
}

function malformed(detail: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    "MalformedPageList",
    `Azure's list of page ranges cannot be understood (${detail}); nothing may be backed up from it.`,
    { cause },
  );
}
