import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeQuestion, dnsTypes, encodeAnswer } from "#local/fabric/dns-message.ts";

/** A query as resolvers send it: id 7, recursion desired. */
function query(name: string, type: number = dnsTypes.a): Buffer {
  const labels = name.split(".").map((label) => Buffer.from(label, "latin1"));
  const encoded = labels.flatMap((label) => [Buffer.from([label.length]), label]);
  const header = Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...encoded, Buffer.from([0, 0, type, 0, 1])]);
}

describe("DNS messages", () => {
  it("reads the question", () => {
    const question = decodeQuestion(query("Account.Blob.core.windows.net"));
    expect(question).toMatchObject({ id: 7, name: "account.blob.core.windows.net", type: 1 });
  });

  it("answers with the aliases and addresses of a name", () => {
    const question = decodeQuestion(query("a.example"));
    const answer = encodeAnswer(question!, {
      status: "found",
      aliases: ["b.example"],
      addresses: ["10.0.0.4"],
    });
    expect(answer.readUInt16BE(0)).toBe(7);
    expect(answer.readUInt16BE(2)).toBe(0x8180);
    expect(answer.readUInt16BE(6)).toBe(2);
    expect(answer.includes(Buffer.from("\u0001b\u0007example\0", "latin1"))).toBe(true);
    expect([...answer.subarray(-4)]).toEqual([10, 0, 0, 4]);
  });

  it("answers a question for IPv6 without addresses, and an unknown name as such", () => {
    const found = { status: "found", aliases: [], addresses: ["10.0.0.4"] } as const;
    const six = encodeAnswer(decodeQuestion(query("a.example", dnsTypes.aaaa))!, found);
    expect(six.readUInt16BE(6)).toBe(0);
    const none = { status: "no-such-name", aliases: [], addresses: [] } as const;
    const unknown = encodeAnswer(decodeQuestion(query("a.example"))!, none);
    expect(unknown.readUInt16BE(2) & 15).toBe(3);
  });

  it("takes any bytes without failing", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        decodeQuestion(Buffer.from(bytes));
      }),
    );
  });
});
