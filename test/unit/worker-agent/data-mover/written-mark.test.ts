import { expect, test } from "vitest";
import { WrittenMark } from "#worker-agent/data-mover/written-mark.ts";

const piece = (offsetBytes: number, lengthBytes = 10) => ({ offsetBytes, lengthBytes });

test("stays before the first piece that is not written, whatever ended behind it", () => {
  const mark = new WrittenMark(0);
  for (const offsetBytes of [0, 10, 20]) mark.start(piece(offsetBytes));
  expect(mark.writtenToBytes).toBe(0);
  mark.finish(piece(10));
  mark.finish(piece(20));
  expect(mark.writtenToBytes).toBe(0);
  mark.finish(piece(0));
  expect(mark.writtenToBytes).toBe(30);
});

test("skips what needs no writing, and never goes back", () => {
  const mark = new WrittenMark(5);
  expect(mark.writtenToBytes).toBe(5);
  mark.start(piece(100));
  expect(mark.writtenToBytes).toBe(100);
  mark.start(piece(500));
  mark.finish(piece(100));
  expect(mark.writtenToBytes).toBe(500);
  mark.finish(piece(500));
  expect(mark.writtenToBytes).toBe(510);
});
