/**
 * Simulated data plane of one Key Vault: keys and their use for wrapping.
 * https://learn.microsoft.com/rest/api/keyvault/keys/operation-groups
 * A caller has *data actions* on the whole vault, as a role assignment gives them; whoever has none is
 * refused. Errors have Key Vault's codes and form.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import {
  listen,
  type JsonAnswer,
  type Listener,
  type ListenOptions,
} from "#local/identity/http-listener.ts";
import type { TokenService } from "#local/identity/token-service.ts";
import { RSA_SIZES, VaultKeys, unwrapWith, wrapWith, type KeyVersion } from "./vault-keys.ts";

const AUDIENCE = "https://vault.azure.net";
const BODY_BYTES_MAX = 64 * 1024;
const API_VERSIONS: ReadonlySet<string> = new Set([
  "7.2",
  "7.3",
  "7.4",
  "7.5",
  "7.6",
  "2025-07-01",
]);
const ALL_OPERATIONS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];

/** https://learn.microsoft.com/azure/role-based-access-control/permissions/security#microsoftkeyvault */
export type KeyAction = "create" | "read" | "update" | "delete" | "recover" | "wrap" | "unwrap";

export interface KeyVaultOptions extends ListenOptions {
  readonly tokens: TokenService;
  readonly now?: () => Date;
}

export interface KeyVault extends Listener {
  /** Lets a principal do these actions, and no others, on all keys of the vault. */
  grant(objectId: string, actions: readonly KeyAction[]): void;
}

class Refused extends Error {
  readonly answer: JsonAnswer;

  constructor(status: number, code: string, message: string, inner?: string) {
    super(message);
    const innererror = inner === undefined ? {} : { innererror: { code: inner } };
    this.answer = { status, body: { error: { code, message, ...innererror } } };
  }
}

interface Call {
  readonly name: string;
  readonly version: string;
  readonly body: unknown;
  readonly origin: string;
  readonly keys: VaultKeys;
}

interface Route {
  readonly method: string;
  readonly path: RegExp;
  readonly action: KeyAction;
  readonly answer: (call: Call) => JsonAnswer["body"];
}

const useSchema = z.object({ alg: z.string(), value: z.string().regex(/^[A-Za-z0-9_-]+$/) });
const createSchema = z.object({
  kty: z.enum(["RSA", "RSA-HSM"]),
  key_size: z
    .number()
    .refine((size) => RSA_SIZES.includes(size))
    .default(2048),
  key_ops: z.array(z.string()).default(ALL_OPERATIONS),
});
const updateSchema = z.object({ attributes: z.object({ enabled: z.boolean() }) });

const routes: readonly Route[] = [
  { method: "POST", path: /^\/keys\/([^/]+)()\/create$/, action: "create", answer: createKey },
  { method: "GET", path: /^\/keys\/([^/]+)()\/versions$/, action: "read", answer: listVersions },
  { method: "GET", path: /^\/keys\/([^/]+)(?:\/([^/]*))?$/, action: "read", answer: readKey },
  { method: "PATCH", path: /^\/keys\/([^/]+)\/([^/]+)$/, action: "update", answer: updateKey },
  { method: "DELETE", path: /^\/keys\/([^/]+)()$/, action: "delete", answer: deleteKey },
  {
    method: "POST",
    path: /^\/deletedkeys\/([^/]+)()\/recover$/,
    action: "recover",
    answer: recoverKey,
  },
  { method: "POST", path: /^\/keys\/([^/]+)\/([^/]*)\/wrapkey$/, action: "wrap", answer: wrapKey },
  {
    method: "POST",
    path: /^\/keys\/([^/]+)\/([^/]*)\/unwrapkey$/,
    action: "unwrap",
    answer: unwrapKey,
  },
];

export async function startKeyVault(options: KeyVaultOptions): Promise<KeyVault> {
  const { tokens } = options;
  const now = options.now ?? (() => new Date());
  const grants = new Map<string, ReadonlySet<KeyAction>>();
  const keys = new VaultKeys(() => Math.floor(now().getTime() / 1000));
  let origin = "";
  const answer = async (request: IncomingMessage): Promise<JsonAnswer> => {
    const body = await readBody(request);
    const refusal = await refuseToken(request, tokens);
    if (typeof refusal !== "string") return refusal;
    const url = new URL(request.url ?? "/", origin);
    const route = routes.find(
      ({ method, path }) => method === request.method && path.test(url.pathname),
    );
    try {
      requireApiVersion(url);
      if (route === undefined) throw new Refused(404, "NotFound", "No such operation.");
      if (grants.get(refusal)?.has(route.action) !== true) throw forbidden(route.action, url);
      const [, name = "", version = ""] = route.path.exec(url.pathname) ?? [];
      return { status: 200, body: route.answer({ name, version, body, origin, keys }) };
    } catch (error) {
      if (error instanceof Refused) return error.answer;
      throw error;
    }
  };
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { status, body, headers } = await answer(request);
    const type = { "content-type": "application/json; charset=utf-8" };
    response.writeHead(status, { ...type, ...headers });
    response.end(JSON.stringify(body));
  };
  const listener = await listen(options, (request, response) => {
    respond(request, response).catch(() => response.destroy());
  });
  origin = listener.origin;
  return {
    ...listener,
    grant: (objectId, actions) => void grants.set(objectId, new Set(actions)),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    sizeBytes += part.length;
    if (sizeBytes > BODY_BYTES_MAX) throw new Error("the body is too large");
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8")) as unknown;
  } catch {
    // No JSON, or no body at all: operations that need one refuse `undefined`.
    return undefined;
  }
}

/** The caller's object id, or the 401 with the challenge that tells where tokens come from. */
async function refuseToken(
  request: IncomingMessage,
  tokens: TokenService,
): Promise<string | JsonAnswer> {
  const token = /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
  let message = "AKV10000: Request is missing a Bearer or PoP token.";
  if (token !== undefined) {
    const verdict = await tokens.verify(token, {
      audiences: [AUDIENCE],
      issuers: [tokens.v1Issuer],
    });
    if (verdict.kind === "valid") return verdict.oid;
    message =
      verdict.kind === "wrongAudience"
        ? `AKV10022: Invalid audience. Expected ${AUDIENCE}, found: ${verdict.audience}.`
        : verdict.kind === "wrongIssuer"
          ? `AKV10032: Invalid issuer. Expected one of ${tokens.v1Issuer}, found ${verdict.issuer}.`
          : "Error validating token: it is malformed, not valid yet or has expired.";
  }
  const authority = `https://login.microsoftonline.com/${tokens.tenantId}`;
  return {
    status: 401,
    headers: { "www-authenticate": `Bearer authorization="${authority}", resource="${AUDIENCE}"` },
    body: { error: { code: "Unauthorized", message } },
  };
}

function requireApiVersion(url: URL): void {
  const version = url.searchParams.get("api-version");
  if (version !== null && API_VERSIONS.has(version)) return;
  throw badParameter(
    version === null
      ? "api-version must be specified"
      : `The specified version (${version}) is not recognized.`,
  );
}

function forbidden(action: KeyAction, url: URL): Refused {
  const suffix = action === "read" || action === "delete" ? action : `${action}/action`;
  return new Refused(
    403,
    "Forbidden",
    "Caller is not authorized to perform action on resource.\r\n" +
      `Action: 'Microsoft.KeyVault/vaults/keys/${suffix}'\r\nResource: '${url.pathname}'`,
    "ForbiddenByRbac",
  );
}

function badParameter(message: string): Refused {
  return new Refused(400, "BadParameter", message);
}

function parse<Value>(schema: z.ZodType<Value>, body: unknown): Value {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const property = parsed.error.issues[0]?.path.join(".") ?? "";
  throw badParameter(`Property  ${property} has invalid value`);
}

function findKey({ keys, name, version }: Call): KeyVersion {
  const key = keys.find(name, version);
  if (key !== undefined) return key;
  const id = version === "" ? name : `${name}/${version}`;
  throw new Refused(
    404,
    "KeyNotFound",
    `A key with (name/id) ${id} was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182`,
  );
}

function kidOf({ origin, name }: Call, { version }: KeyVersion): string {
  return `${origin}/keys/${name}/${version}`;
}

function bundleOf(call: Call, key: KeyVersion): { [member: string]: JsonAnswer["body"] } {
  const { n = "", e = "" } = key.publicKey.export({ format: "jwk" });
  return {
    key: { kid: kidOf(call, key), kty: "RSA", key_ops: [...key.operations], n, e },
    attributes: {
      enabled: key.enabled,
      created: key.createdSeconds,
      updated: key.updatedSeconds,
      recoveryLevel: "Recoverable+Purgeable",
      recoverableDays: 90,
    },
  };
}

function createKey(call: Call): JsonAnswer["body"] {
  const { key_size: sizeBits, key_ops: operations } = parse(createSchema, call.body);
  const key = call.keys.create(call.name, sizeBits, operations);
  if (key !== "deleted") return bundleOf(call, key);
  throw new Refused(
    409,
    "Conflict",
    `Key ${call.name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.`,
    "ObjectIsDeletedButRecoverable",
  );
}

function readKey(call: Call): JsonAnswer["body"] {
  return bundleOf(call, findKey(call));
}

function listVersions(call: Call): JsonAnswer["body"] {
  const value = call.keys.versionsOf(call.name).map((key) => {
    const { attributes = {} } = bundleOf(call, key);
    return { kid: kidOf(call, key), attributes };
  });
  return { value, nextLink: null };
}

function updateKey(call: Call): JsonAnswer["body"] {
  const key = findKey(call);
  call.keys.setEnabled(key, parse(updateSchema, call.body).attributes.enabled);
  return bundleOf(call, key);
}

function deleteKey(call: Call): JsonAnswer["body"] {
  const bundle = bundleOf(call, findKey({ ...call, version: "" }));
  call.keys.setDeleted(call.name, true);
  return { ...bundle, recoveryId: `${call.origin}/deletedkeys/${call.name}` };
}

function recoverKey(call: Call): JsonAnswer["body"] {
  if (call.keys.setDeleted(call.name, false)) return bundleOf(call, findKey(call));
  throw new Refused(404, "KeyNotFound", `Deleted Key not found: ${call.name}`);
}

/** Key and bytes of a request to wrap or unwrap, after Key Vault's checks. */
function useOf(call: Call, operation: "wrapKey" | "unwrapKey"): [KeyVersion, Buffer] {
  const key = findKey(call);
  const { alg, value } = parse(useSchema, call.body);
  if (!key.enabled) {
    const message = `Operation ${operation} is not allowed on a disabled key.`;
    throw new Refused(403, "Forbidden", message, "KeyDisabled");
  }
  if (!key.operations.includes(operation)) {
    const message = `Operation ${operation} is not permitted on this key.`;
    throw new Refused(403, "Forbidden", message, "KeyOperationForbidden");
  }
  if (alg !== "RSA-OAEP-256") throw badParameter(`Invalid algorithm: ${alg}`);
  return [key, Buffer.from(value, "base64url")];
}

function wrapKey(call: Call): JsonAnswer["body"] {
  const [key, bytes] = useOf(call, "wrapKey");
  const modulusBytes = (key.publicKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
  // OAEP with SHA-256 takes two hashes and two bytes (RFC 8017, section 7.1.1).
  if (bytes.length > modulusBytes - 66) throw badParameter("The parameter is incorrect.\r\n");
  return { kid: kidOf(call, key), value: wrapWith(key, bytes).toString("base64url") };
}

function unwrapKey(call: Call): JsonAnswer["body"] {
  const [key, bytes] = useOf(call, "unwrapKey");
  const opened = unwrapWith(key, bytes);
  if (opened === undefined) throw badParameter("The parameter is incorrect.\r\n");
  return { kid: kidOf(call, key), value: opened.toString("base64url") };
}
