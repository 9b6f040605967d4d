import { expect, test } from "vitest";
import type { AccessToken, TokenCredential } from "@azure/core-auth";
import { createDiskTokens } from "#azure/disk/disk-token.ts";

const signal = new AbortController().signal;
const hourMs = 3_600_000;

/** A credential that numbers its tokens, and when it is now. */
function setUp(answer?: () => Promise<AccessToken | null>) {
  const state = { nowMs: 0, asked: [] as unknown[] };
  const credential: TokenCredential = {
    getToken: async (scope) => {
      state.asked.push(scope);
      if (answer !== undefined) return answer();
      return { token: `t${state.asked.length}`, expiresOnTimestamp: state.nowMs + hourMs };
    },
  };
  return { state, read: createDiskTokens(credential, () => state.nowMs) };
}

test("asks once for the audience of disks, with the slash that the service insists on", async () => {
  const { state, read } = setUp();
  expect(await Promise.all([read(signal), read(signal)])).toEqual(["t1", "t1"]);
  expect(await read(signal)).toBe("t1");
  expect(state.asked).toEqual(["https://disk.azure.com//.default"]);
});

test("asks again some minutes before the token ends", async () => {
  const { state, read } = setUp();
  await read(signal);
  state.nowMs = hourMs - 5 * 60_000 - 1;
  expect(await read(signal)).toBe("t1");
  state.nowMs += 1;
  expect(await read(signal)).toBe("t2");
});

test("tells that there is no token, may try again, and does so", async () => {
  let fails = true;
  const { read } = setUp(async () => {
    if (fails) throw new Error("no metadata service");
    return { token: "late", expiresOnTimestamp: hourMs };
  });
  await expect(read(signal)).rejects.toMatchObject({ code: "DiskTokenMissing", retry: "backoff" });
  fails = false;
  expect(await read(signal)).toBe("late");
  const nothing = setUp(async () => null);
  await expect(nothing.read(signal)).rejects.toMatchObject({ code: "DiskTokenMissing" });
});

test("a request that gives up does not end the question of the others", async () => {
  let give: (token: AccessToken) => void = () => undefined;
  const { state, read } = setUp(() => new Promise((resolve) => (give = resolve)));
  const impatient = new AbortController();
  const first = read(impatient.signal);
  const second = read(signal);
  impatient.abort(new Error("gave up"));
  await expect(first).rejects.toThrow("gave up");
  give({ token: "t", expiresOnTimestamp: hourMs });
  expect(await second).toBe("t");
  expect(state.asked).toHaveLength(1);
  await expect(read(impatient.signal)).rejects.toThrow("gave up");
});
