import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT, type CryptoKey } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { createAuthenticate, type Authenticate } from "#functions/http/authentication.ts";

const NOW = new Date("2026-11-22T01:30:00.000Z");
const seconds = NOW.getTime() / 1000;

let good: CryptoKey;
let stranger: CryptoKey;
let authenticate: Authenticate;

async function token(
  fields: Record<string, unknown> = {},
  key = good,
  alg = "RS256",
): Promise<string> {
  const claims = {
    iss: "https://issuer.example/",
    aud: "api://holdfast",
    sub: "me",
    exp: seconds + 600,
    ...fields,
  };
  return `Bearer ${await new SignJWT(claims).setProtectedHeader({ alg, kid: "k1" }).sign(key)}`;
}

beforeAll(async () => {
  const pair = await generateKeyPair("RS256");
  good = pair.privateKey;
  stranger = (await generateKeyPair("RS256")).privateKey;
  const keys = createLocalJWKSet({
    keys: [{ ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "RS256", use: "sig" }],
  });
  authenticate = createAuthenticate({
    issuer: "https://issuer.example/",
    audience: "api://holdfast",
    keys,
    clock: () => NOW,
  });
});

describe("authentication", () => {
  it("accepts a token of the issuer for this app", async () => {
    expect(await authenticate(await token())).toEqual({ ok: true, subject: "me" });
  });

  it.each<[string, () => Promise<string | null>, string]>([
    ["no header", async () => null, "a bearer token is missing"],
    ["another scheme", async () => "Basic abc", "a bearer token is missing"],
    ["no token at all", async () => "Bearer abc", "the token is malformed"],
    [
      "another issuer",
      () => token({ iss: "https://evil.example/" }),
      "the token's claim 'iss' is wrong or missing",
    ],
    [
      "another audience",
      () => token({ aud: "api://other" }),
      "the token's claim 'aud' is wrong or missing",
    ],
    ["expiry in the past", () => token({ exp: seconds - 60 }), "the token has expired"],
    ["no expiry", () => token({ exp: undefined }), "the token's claim 'exp' is wrong or missing"],
    ["not valid yet", () => token({ nbf: seconds + 60 }), "the token is not valid yet"],
    ["another key", () => token({}, stranger), "the signature is wrong"],
    [
      "a symmetric algorithm",
      async () => {
        const key = new TextEncoder().encode("x".repeat(32)) as unknown as CryptoKey;
        return token({}, key, "HS256");
      },
      "the token is not signed with RS256",
    ],
    [
      "no signature",
      async () => {
        const [, claims] = (await token()).split(".");
        const header = Buffer.from('{"alg":"none"}').toString("base64url");
        return `Bearer ${header}.${claims}.`;
      },
      "the token is not signed with RS256",
    ],
  ])("refuses %s", async (_name, make, reason) => {
    expect(await authenticate(await make())).toEqual({ ok: false, kind: "refused", reason });
  });

  it("says that the keys are unavailable, not that the token is wrong", async () => {
    const offline = createAuthenticate({
      issuer: "https://issuer.example/",
      audience: "api://holdfast",
      keys: async () => {
        throw new Error("no route to host");
      },
      clock: () => NOW,
    });
    expect(await offline(await token())).toMatchObject({ ok: false, kind: "unavailable" });
  });
});
