import { expect, it } from "vitest";
import { claimsOf, refusalOf } from "#azure/keyvault/key-vault-errors.ts";
import { parseVaultKeyId } from "#azure/keyvault/vault-hosts.ts";

const key = parseVaultKeyId("https://name.vault.azure.net/keys/k/1");

function refusal(status: number, body: unknown = "<html>") {
  return refusalOf({ key, operation: "unwrapkey", status, headers: {}, body });
}

it("waits only for what passes", () => {
  for (const status of [408, 429, 500, 503]) expect(refusal(status).retry).toBe("backoff");
  for (const status of [400, 401, 403, 404, 409]) expect(refusal(status).retry).toBe("never");
});

it("tells a firewall from a missing role", () => {
  const body = { error: { code: "Forbidden", innererror: { code: "ForbiddenByFirewall" } } };
  expect(refusal(403, body).message).toContain("firewall");
  expect(refusal(403).message).toContain("Key Vault Crypto User");
});

it("finds the claims that a revoked token must be replaced with", () => {
  const claims = '{"access_token":{"nbf":{"essential":true}}}';
  const encoded = Buffer.from(claims).toString("base64");
  const header = `Bearer authorization="https://login.microsoftonline.com/", error="insufficient_claims", claims="${encoded}"`;
  expect(claimsOf({ "www-authenticate": header })).toBe(claims);
  expect(claimsOf({ "www-authenticate": 'Bearer resource="https://vault.azure.net"' })).toBe(
    undefined,
  );
  expect(claimsOf({})).toBe(undefined);
});
