import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePageList } from "#azure/disk/page-list-parser.ts";
import { HoldfastError } from "#core/lib/errors.ts";

function list(body: string): string {
  return `\uFEFF<?xml version="1.0" encoding="utf-8"?><PageList>${body}</PageList>`;
}

function element(name: string, start: number | string, end: number | string): string {
  return `<${name}><Start>${start}</Start><End>${end}</End></${name}>`;
}

describe("parsePageList", () => {
  it("turns inclusive ends into lengths: one page is 512 bytes", () => {
    const xml = list(element("PageRange", 0, 511) + element("ClearRange", 1024, 2047));
    expect(parsePageList(xml)).toEqual({
      ranges: [
        { offsetBytes: 0, lengthBytes: 512, kind: "data" },
        { offsetBytes: 1024, lengthBytes: 1024, kind: "clear" },
      ],
      nextMarker: undefined,
    });
  });

  it("reads an empty list, with and without an empty marker", () => {
    for (const body of ["", "<NextMarker/>", "<NextMarker></NextMarker>"]) {
      expect(parsePageList(list(body))).toEqual({ ranges: [], nextMarker: undefined });
    }
    expect(parsePageList("<PageList/>").ranges).toEqual([]);
  });

  it("gives the marker and sorts page and clear ranges that come in groups", () => {
    const xml = list(
      element("PageRange", 4096, 4607) +
        element("PageRange", 0, 511) +
        element("ClearRange", 512, 1023) +
        "<NextMarker>a=b&amp;c</NextMarker>",
    );
    const { ranges, nextMarker } = parsePageList(xml);
    expect(ranges.map(({ offsetBytes }) => offsetBytes)).toEqual([0, 512, 4096]);
    expect(nextMarker).toBe("a=b&c");
  });

  it.each([
    ["an end that is not the last byte of a page", element("PageRange", 0, 512)],
    ["a start inside a page", element("PageRange", 1, 511)],
    ["an end before the start", element("PageRange", 1024, 511)],
    ["ranges that overlap", element("PageRange", 0, 1023) + element("ClearRange", 512, 1535)],
    ["a number that is none", element("PageRange", "0x0", 511)],
    ["a range without an end", "<PageRange><Start>0</Start></PageRange>"],
    ["an unknown element", "<Surprise>1</Surprise>"],
  ])("refuses %s", (_, body) => {
    expect(() => parsePageList(list(body))).toThrow(
      expect.objectContaining({ code: "MalformedPageList" }),
    );
  });

  it("refuses text that is no page list at all with the same code", () => {
    for (const text of [
      "",
      "<html></html>",
      "<PageList>",
      list(element("PageRange", 0, 511)).slice(0, -9),
    ]) {
      expect(() => parsePageList(text)).toThrow(
        expect.objectContaining({ code: "MalformedPageList" }),
      );
    }
  });

  it("never throws anything but HoldfastError, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parsePageList(list(text));
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }),
    );
  });
});
