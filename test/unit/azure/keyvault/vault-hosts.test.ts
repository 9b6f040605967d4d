import { expect, it } from "vitest";
import { parseVaultKeyId } from "#azure/keyvault/vault-hosts.ts";
import { codeOf } from "#core/lib/errors.ts";

function codeFor(keyId: string): string {
  try {
    parseVaultKeyId(keyId);
    return "accepted";
  } catch (error) {
    return codeOf(error);
  }
}

it("asks for tokens of the audience of the host's own cloud", () => {
  const scopes = {
    "name.vault.azure.net": "https://vault.azure.net/.default",
    "name.managedhsm.azure.net": "https://managedhsm.azure.net/.default",
    "name.vault.azure.cn": "https://vault.azure.cn/.default",
    "name.vault.usgovcloudapi.net": "https://vault.usgovcloudapi.net/.default",
  };
  for (const [host, scope] of Object.entries(scopes)) {
    expect(parseVaultKeyId(`https://${host}/keys/k/0a1b`)).toEqual({
      url: `https://${host}/keys/k/0a1b`,
      host,
      scope,
    });
  }
});

it.each([
  "https://evil.example/keys/k/1",
  "https://vault.azure.net/keys/k/1",
  "https://namevault.azure.net/keys/k/1",
  "https://name.vault.azure.net.evil.example/keys/k/1",
  "https://127.0.0.1/keys/k/1",
])("gives no token to %s", (keyId) => {
  expect(codeFor(keyId)).toBe("KeyVaultHostUnknown");
});

it.each([
  "",
  "name",
  "http://name.vault.azure.net/keys/k/1",
  "https://name.vault.azure.net/keys/k",
  "https://name.vault.azure.net/keys/k/1/2",
  "https://name.vault.azure.net/secrets/k/1",
  "https://name.vault.azure.net/keys/k/1?x=y",
  "https://name.vault.azure.net/keys/k/1#x",
  "https://user@name.vault.azure.net/keys/k/1",
])("takes %j for no key", (keyId) => {
  expect(codeFor(keyId)).toBe("InvalidVaultKeyId");
});
