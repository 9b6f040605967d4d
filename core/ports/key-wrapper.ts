/**
 * A vault that wraps and unwraps short secrets by an RSA key that never leaves it (RSA-OAEP with
 * SHA-256). A *key id* is the https URL of one version of such a key, e.g.
 * `https://vault.vault.azure.net/keys/backup/<version>`.
 */
export interface KeyWrapper {
  /** @returns the wrapped bytes and the id of the version that wrapped them. Safe to repeat. */
  wrap(
    keyId: string,
    secret: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ readonly keyId: string; readonly wrapped: Uint8Array }>;
  /**
   * Inverse of `wrap`. Throws `KeyUnwrapRefused` when these bytes were not wrapped by this key, and
   * the errors of the vault (no permission, key disabled or deleted, no answer).
   */
  unwrap(keyId: string, wrapped: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}
