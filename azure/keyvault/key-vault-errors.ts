/**
 * What the refusals of Key Vault mean for somebody who wants to open a repository.
 * https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
 */
import { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import { redact } from "../errors.ts";
import type { VaultKey } from "./vault-hosts.ts";

const errorSchema = z.object({
  error: z.object({
    code: z.string(),
    message: z.string().default(""),
    innererror: z.object({ code: z.string() }).optional(),
  }),
});

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface Refusal {
  readonly key: VaultKey;
  readonly operation: "wrapkey" | "unwrapkey";
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

function challengePart(headers: Headers, name: string): string | undefined {
  const challenge = headers["www-authenticate"];
  const text = typeof challenge === "string" ? challenge : (challenge?.join(", ") ?? "");
  return new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1];
}

/** The claims that a token must carry, from a 401 that revokes the one that was sent. */
export function claimsOf(headers: Headers): string | undefined {
  if (challengePart(headers, "error") !== "insufficient_claims") return undefined;
  const claims = challengePart(headers, "claims");
  return claims === undefined ? undefined : Buffer.from(claims, "base64").toString("utf8");
}

export function refusalOf(refusal: Refusal): HoldfastError {
  const { key, operation, status, headers } = refusal;
  const parsed = errorSchema.safeParse(refusal.body);
  const error = parsed.success ? parsed.data.error : undefined;
  const azureCode = error?.innererror?.code ?? error?.code ?? `Http${status}`;
  const said = error === undefined ? "" : ` Azure says: ${redact(error.message)}`;
  const context = { keyId: key.url, status, azureCode };
  const fail = (code: string, message: string, retry: "never" | "backoff" = "never") =>
    new HoldfastError(code, `${message}${said}`, { retry, context });
  if (status === 401) {
    const tenant = challengePart(headers, "authorization");
    const wanted = tenant === undefined ? "" : ` It wants tokens of ${tenant}.`;
    return fail(
      "KeyVaultUnauthorized",
      `${key.host} does not accept the identity's token.${wanted}`,
    );
  }
  if (status === 403 && azureCode === "KeyDisabled") {
    return fail("KeyVaultKeyDisabled", `The key ${key.url} is disabled. Enable it.`);
  }
  if (status === 403 && azureCode === "ForbiddenByFirewall") {
    return fail(
      "KeyVaultForbidden",
      `The firewall of ${key.host} refuses this network. Use a private endpoint or allow the network.`,
    );
  }
  if (status === 403) {
    const role = "Key Vault Crypto User";
    return fail(
      "KeyVaultForbidden",
      `The identity may not ${operation === "wrapkey" ? "wrap" : "unwrap"} with ${key.url}. Give it the role ${role} on the key.`,
    );
  }
  if (status === 404) {
    return fail(
      "KeyVaultKeyNotFound",
      `There is no key ${key.url}. If it was deleted, recover it within its vault's soft-delete days; after that the slot is lost, and another secret must open the repository.`,
    );
  }
  if (status === 400 && operation === "unwrapkey") {
    return fail("KeyUnwrapRefused", `The key ${key.url} did not wrap this key slot.`);
  }
  if (status === 408 || status === 429 || status >= 500) {
    return fail("KeyVaultBusy", `${key.host} answers ${status}.`, "backoff");
  }
  return fail("KeyVaultRefused", `${key.host} refuses to use ${key.url}: ${azureCode}.`);
}
