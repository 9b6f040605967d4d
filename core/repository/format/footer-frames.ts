/** The frames that the lines of a footer tell of. */
import { HEADER_BYTES, requireIntact } from "./layout.ts";
import type { FooterEntry } from "./sealed-object.ts";

/** Number of a block that nobody needs any more: an archive copies whole frames. */
export const NO_BLOCK = 0xffff_ffff_ffff;

export interface FooterFrame extends Pick<
  FooterEntry,
  "frameNumber" | "purpose" | "encoding" | "storedBytes"
> {
  readonly offsetBytes: number;
  /** One for each block, in the order of the content. */
  readonly lines: readonly FooterEntry[];
}

/** Throws `RepositoryDamaged` when the lines contradict each other. */
export function framesOf(lines: readonly FooterEntry[]): FooterFrame[] {
  const frames: (FooterFrame & { readonly lines: FooterEntry[] })[] = [];
  let offsetBytes = HEADER_BYTES;
  for (const line of lines) {
    const { frameNumber, purpose, encoding, storedBytes } = line;
    if (storedBytes > 0) {
      const place = { frameNumber, purpose, encoding, storedBytes, offsetBytes };
      frames.push({ ...place, lines: [line] });
      offsetBytes += storedBytes;
      continue;
    }
    const frame = frames.at(-1);
    const isContinued =
      frame?.frameNumber === frameNumber &&
      frame.purpose === purpose &&
      frame.encoding === encoding &&
      frame.lines[0]?.rawBytes === line.rawBytes;
    requireIntact(isContinued, "a line of a footer belongs to no frame");
    frame.lines.push(line);
  }
  return frames;
}
