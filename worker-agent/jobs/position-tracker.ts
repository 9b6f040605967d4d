import type { DiskDataReader, DiskRange } from "#core/ports/disk-data.ts";

export interface PositionTracker {
  /** Passes everything on and notes how far it was read, or known to need no reading. */
  readonly reader: DiskDataReader;
  /** Bytes from the beginning of the disk that were looked at: ranges are listed ascending. */
  doneBytes(): number;
}

/**
 * Progress of a disk as a position in it. The amount of data is not known before the lists end, and
 * collecting them first would take memory in proportion to the disk.
 */
export function trackPosition(
  source: DiskDataReader,
  onMoved: (doneBytes: number) => void,
): PositionTracker {
  let doneBytes = 0;

  async function* noted<Range extends DiskRange>(
    ranges: AsyncIterable<Range>,
  ): AsyncGenerator<Range, void, undefined> {
    doneBytes = 0;
    for await (const range of ranges) {
      yield range;
      // Control comes back when the range has been taken over.
      moveTo(range);
    }
  }

  function moveTo({ offsetBytes, lengthBytes }: DiskRange): void {
    doneBytes = Math.max(doneBytes, offsetBytes + lengthBytes);
    onMoved(doneBytes);
  }

  return {
    doneBytes: () => doneBytes,
    reader: {
      readSizeBytes: (signal) => source.readSizeBytes(signal),
      // One range may be the whole disk: it moves with the pieces that are read of it.
      read: async (range, signal) => {
        const bytes = await source.read(range, signal);
        moveTo(range);
        return bytes;
      },
      listAllocated: (signal, within) => noted(source.listAllocated(signal, within)),
      listChanged: (previousSas, signal) => noted(source.listChanged(previousSas, signal)),
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    },
  };
}
