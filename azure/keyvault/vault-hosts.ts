/**
 * Which vaults get a token, and for which audience. Key Vault's SDK asks first without a token and
 * takes the audience from the 401 challenge, which it then compares with the host
 * (`verifyChallengeResource`, https://aka.ms/azsdk/blog/vault-uri). The audience follows from the
 * host's own ending, so we spare the round trip: a host with no ending of the list gets no token.
 */
import { HoldfastError } from "#core/lib/errors.ts";

/** https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#dns-suffixes-for-object-identifiers */
const VAULT_SUFFIXES = [
  "vault.azure.net",
  "managedhsm.azure.net",
  "vault.azure.cn",
  "vault.usgovcloudapi.net",
  "managedhsm.usgovcloudapi.net",
] as const;

const KEY_PATH = /^\/keys\/([0-9A-Za-z-]{1,127})\/([0-9A-Za-z]{1,64})$/;

export interface VaultKey {
  /** `https://<host>/keys/<name>/<version>` */
  readonly url: string;
  readonly host: string;
  /** For the token of the vault. */
  readonly scope: string;
}

/**
 * @param tokenScope of vaults at hosts that Azure's public clouds do not know; without it they are
 * refused. Throws `InvalidVaultKeyId`, `KeyVaultHostUnknown`.
 */
export function parseVaultKeyId(keyId: string, tokenScope?: string): VaultKey {
  const url = URL.canParse(keyId) ? new URL(keyId) : undefined;
  const isPlain =
    url?.protocol === "https:" && url.username === "" && url.search === "" && url.hash === "";
  if (url === undefined || !isPlain || !KEY_PATH.test(url.pathname)) {
    throw new HoldfastError(
      "InvalidVaultKeyId",
      "A key is named by the URL of one of its versions, https://<vault>/keys/<name>/<version>.",
    );
  }
  const suffix = VAULT_SUFFIXES.find((each) => url.hostname.endsWith(`.${each}`));
  const scope = tokenScope ?? (suffix === undefined ? undefined : `https://${suffix}/.default`);
  if (scope === undefined) {
    throw new HoldfastError(
      "KeyVaultHostUnknown",
      `${url.hostname} is no key vault of Azure: it gets no token. Use the vault's own name, also with a private endpoint.`,
    );
  }
  return { url: `${url.origin}${url.pathname}`, host: url.host, scope };
}
