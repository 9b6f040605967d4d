/**
 * Key Vault's data plane, two calls of it: wrap and unwrap with an RSA key.
 * https://learn.microsoft.com/rest/api/keyvault/keys/unwrap-key/unwrap-key
 */
import { rootCertificates } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import type { TokenCredential } from "@azure/core-auth";
import { Agent, request, type Dispatcher } from "undici";
import { z } from "zod";
import { HoldfastError, isRetryable } from "#core/lib/errors.ts";
import type { KeyWrapper } from "#core/ports/key-wrapper.ts";
import { callAzure } from "../errors.ts";
import { claimsOf, refusalOf } from "./key-vault-errors.ts";
import { parseVaultKeyId, type VaultKey } from "./vault-hosts.ts";

const API_VERSION = "7.4";
const ALGORITHM = "RSA-OAEP-256";
const ANSWER_MS_MAX = 30_000;
const ATTEMPTS_MAX = 4;
/** Wait before the second attempt; doubles. Key Vault asks for 1, 2, 4 ... seconds when it throttles. */
const FIRST_BACKOFF_MS = 1_000;
/** An answer holds one wrapped secret of 512 bytes at most. */
const ANSWER_BYTES_MAX = 64 * 1024;

const answerSchema = z.object({ kid: z.string(), value: z.string() });

export interface KeyWrapperOptions {
  readonly credential: TokenCredential;
  /** For vaults outside Azure's public clouds: `https://<audience>/.default`. */
  readonly tokenScope?: string;
  /** PEM of a further certificate authority; the usual ones are always trusted. */
  readonly ca?: string;
  readonly firstBackoffMs?: number;
}

type Operation = "wrapkey" | "unwrapkey";
type Answer = z.infer<typeof answerSchema>;

export function createKeyWrapper(options: KeyWrapperOptions): KeyWrapper {
  const call = async (
    operation: Operation,
    keyId: string,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<Answer> => {
    const key = parseVaultKeyId(keyId, options.tokenScope);
    return callWithRetries({ options, key, operation, bytes }, signal);
  };
  return {
    async wrap(keyId, secret, signal) {
      const { kid, value } = await call("wrapkey", keyId, secret, signal);
      return { keyId: kid, wrapped: Buffer.from(value, "base64url") };
    },
    async unwrap(keyId, wrapped, signal) {
      const { value } = await call("unwrapkey", keyId, wrapped, signal);
      return Buffer.from(value, "base64url");
    },
  };
}

interface Call {
  readonly options: KeyWrapperOptions;
  readonly key: VaultKey;
  readonly operation: Operation;
  readonly bytes: Uint8Array;
}

async function callWithRetries(call: Call, signal: AbortSignal): Promise<Answer> {
  let backoffMs = call.options.firstBackoffMs ?? FIRST_BACKOFF_MS;
  const { ca } = call.options;
  // One connection for the few calls of a job: nothing stays open behind them.
  const agent = new Agent({
    connect: ca === undefined ? {} : { ca: [...rootCertificates, ca] },
  });
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await callOnce(call, agent, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (attempt >= ATTEMPTS_MAX || !isRetryable(error)) throw error;
      }
      await sleep(backoffMs, undefined, { signal });
      backoffMs *= 2;
    }
  } finally {
    await agent.destroy();
  }
}

async function callOnce(call: Call, agent: Agent, signal: AbortSignal): Promise<Answer> {
  const { key } = call;
  let response = await send(call, agent, await tokenOf(call, undefined, signal), signal);
  let body = await readBody(response);
  const claims = response.statusCode === 401 ? claimsOf(response.headers) : undefined;
  if (claims !== undefined) {
    // Continuous access evaluation: the token was revoked before its end; ask for one with the claims.
    response = await send(call, agent, await tokenOf(call, claims, signal), signal);
    body = await readBody(response);
  }
  const { statusCode, headers } = response;
  if (statusCode !== 200) throw refusalOf({ ...call, status: statusCode, headers, body });
  const answer = answerSchema.safeParse(body);
  if (answer.success) return answer.data;
  throw new HoldfastError("KeyVaultAnswerUnknown", `${key.host} did not answer as a key vault.`);
}

async function tokenOf(
  { options, key }: Call,
  claims: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const token = await callAzure(`get a token for ${key.host}`, () =>
    options.credential.getToken(key.scope, {
      abortSignal: signal,
      ...(claims === undefined ? {} : { claims }),
    }),
  );
  if (token !== null) return token.token;
  throw new HoldfastError("KeyVaultUnauthorized", `There is no token for ${key.host}.`);
}

async function send(
  { key, operation, bytes }: Call,
  agent: Agent,
  token: string,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  try {
    return await request(`${key.url}/${operation}?api-version=${API_VERSION}`, {
      dispatcher: agent,
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ alg: ALGORITHM, value: Buffer.from(bytes).toString("base64url") }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]),
    });
  } catch (cause) {
    signal.throwIfAborted();
    throw new HoldfastError(
      "KeyVaultUnreachable",
      `The key vault ${key.host} does not answer. Check its private endpoint, its DNS zone and its firewall.`,
      { retry: "backoff", cause },
    );
  }
}

/** The JSON of an answer; undefined when it is none. */
async function readBody({ body }: Dispatcher.ResponseData): Promise<unknown> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of body as AsyncIterable<Buffer>) {
    sizeBytes += part.length;
    if (sizeBytes > ANSWER_BYTES_MAX) return undefined;
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8")) as unknown;
  } catch {
    // A proxy in between answers with a page; the status says enough.
    return undefined;
  }
}
