import { expect, test } from "vitest";
import type { ChangedRange, DiskDataReader, DiskRange } from "#core/ports/disk-data.ts";
import { trackPosition } from "#worker-agent/jobs/position-tracker.ts";

const { signal } = new AbortController();

async function* listed<Range>(ranges: readonly Range[]): AsyncGenerator<Range> {
  yield* ranges;
}

function readerOf(allocated: readonly DiskRange[], changed: readonly ChangedRange[] = []) {
  const reader: DiskDataReader = {
    readSizeBytes: async () => 1000,
    read: async ({ lengthBytes }) => new Uint8Array(lengthBytes),
    listAllocated: () => listed(allocated),
    listChanged: () => listed(changed),
    [Symbol.asyncDispose]: async () => undefined,
  };
  return reader;
}

test("moves with what is read of one long range, not only at its end", async () => {
  const moves: number[] = [];
  const tracker = trackPosition(readerOf([{ offsetBytes: 0, lengthBytes: 1000 }]), (doneBytes) =>
    moves.push(doneBytes),
  );
  for await (const range of tracker.reader.listAllocated(signal)) {
    for (let offsetBytes = 0; offsetBytes < range.lengthBytes; offsetBytes += 250)
      await tracker.reader.read({ offsetBytes, lengthBytes: 250 }, signal);
  }
  expect(moves).toEqual([250, 500, 750, 1000, 1000]);
});

test("never goes back when reads end in another order, and counts ranges without reading", async () => {
  const tracker = trackPosition(
    readerOf([], [{ kind: "clear", offsetBytes: 700, lengthBytes: 100 }]),
    () => undefined,
  );
  for await (const range of tracker.reader.listChanged("", signal))
    expect(range.kind).toBe("clear");
  expect(tracker.doneBytes()).toBe(800);
  await tracker.reader.read({ offsetBytes: 0, lengthBytes: 100 }, signal);
  expect(tracker.doneBytes()).toBe(800);
});
