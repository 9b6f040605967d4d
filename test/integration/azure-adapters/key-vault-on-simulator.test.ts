import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Agent, request } from "undici";
import { z } from "zod";
import { createKeyWrapper } from "#azure/keyvault/key-wrapper.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import {
  addKeySlot,
  createRepository,
  listKeySlots,
  openRepository,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { openTokenService, type TokenService } from "#local/identity/token-service.ts";
import { startKeyVault, type KeyAction, type KeyVault } from "#local/key-vault/key-vault.ts";
import { ensureServerTls, type ServerTls } from "#local/tls/authority.ts";
import { seededRandom } from "../../unit/core/repository/fixtures.ts";

const signal = new AbortController().signal;
const audience = "https://vault.azure.net";
const owner = "owner";
const worker = "worker";
const bundleSchema = z.object({ key: z.object({ kid: z.string() }) });

let directory: string;
let tls: ServerTls;
let tokens: TokenService;
let vault: KeyVault;
let agent: Agent;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-key-vault-"));
  tls = await ensureServerTls({ directory });
  tokens = await openTokenService({ path: join(directory, "tenant.json") });
  vault = await startKeyVault({ tokens, tls });
  agent = new Agent({ connect: { ca: tls.ca } });
  vault.grant(owner, ["create", "read", "update", "delete", "recover"]);
  vault.grant(worker, ["wrap", "unwrap"]);
});

afterAll(async () => {
  await agent.destroy();
  await vault[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function tokenOf(oid: string, forAudience = audience): Promise<string> {
  return (await tokens.issueToken({ oid, appId: oid, audience: forAudience })).token;
}

async function ask(method: "GET" | "POST" | "PATCH" | "DELETE", path: string, body?: unknown) {
  const response = await request(`${vault.origin}${path}?api-version=7.4`, {
    dispatcher: agent,
    method,
    headers: {
      authorization: `Bearer ${await tokenOf(owner)}`,
      "content-type": "application/json",
    },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return { status: response.statusCode, body: await response.body.json() };
}

async function newKey(name: string): Promise<string> {
  const { status, body } = await ask("POST", `/keys/${name}/create`, { kty: "RSA" });
  expect(status).toBe(200);
  return bundleSchema.parse(body).key.kid;
}

/** The adapter as the worker runs it; the local vault's host is none of Azure's, hence the scope. */
function wrapperOf(oid: string, options: { readonly audience?: string } = {}) {
  const asked: string[] = [];
  const wrapper = createKeyWrapper({
    credential: {
      getToken: async (scopes) => {
        asked.push(String(scopes));
        const token = await tokenOf(oid, options.audience);
        return { token, expiresOnTimestamp: Date.now() + 3_600_000 };
      },
    },
    tokenScope: `${audience}/.default`,
    ca: tls.ca,
    firstBackoffMs: 1,
  });
  return { wrapper, asked };
}

async function failureOf(work: Promise<unknown>): Promise<HoldfastError> {
  const error: unknown = await work.then(
    () => new Error("no failure"),
    (reason: unknown) => reason,
  );
  if (error instanceof HoldfastError) return error;
  throw error;
}

it("wraps and unwraps with one token of the vault's audience each", async () => {
  const keyId = await newKey("plain");
  const { wrapper, asked } = wrapperOf(worker);
  const secret = seededRandom("secret")(32);
  const wrapped = await wrapper.wrap(keyId, secret, signal);
  expect(wrapped.keyId).toBe(keyId);
  expect(wrapped.wrapped).toHaveLength(256);
  const opened = await wrapper.unwrap(keyId, wrapped.wrapped, signal);
  expect(Uint8Array.from(opened)).toEqual(secret);
  expect(asked).toEqual([`${audience}/.default`, `${audience}/.default`]);
});

it("opens a repository by its key, also after the key got a new version", async () => {
  const store = new MemoryStore();
  const first = await newKey("repository");
  const random = seededRandom("vault repository");
  const { wrapper } = wrapperOf(worker);
  const encryption = { kind: "key-vault", keyId: first, vault: wrapper } as const;
  const created = await createRepository(store, { encryption, random, now: new Date(0) }, signal);
  const second = { ...encryption, keyId: await newKey("repository") };
  expect((await openRepository(store, second, signal)).key).toEqual(created.key);
  await addKeySlot(created, second, { random }, signal);
  const slots = await listKeySlots(created, signal);
  expect(slots.map(({ vaultKeyId }) => vaultKeyId).sort()).toEqual([first, second.keyId].sort());
  // The former version is switched off: the slot of the new one opens.
  await ask("PATCH", new URL(first).pathname, { attributes: { enabled: false } });
  expect((await openRepository(store, second, signal)).key).toEqual(created.key);
});

it("says what is missing when the vault refuses", async () => {
  const keyId = await newKey("refused");
  const { wrapper } = wrapperOf(worker);
  const { wrapped } = await wrapper.wrap(keyId, seededRandom("x")(32), signal);
  const unwrap = () => failureOf(wrapper.unwrap(keyId, wrapped, signal));

  const cases: readonly [string, readonly KeyAction[]][] = [
    ["nobody", []],
    ["reader", ["read", "wrap"]],
  ];
  for (const [oid, actions] of cases) {
    vault.grant(oid, actions);
    const refused = await failureOf(wrapperOf(oid).wrapper.unwrap(keyId, wrapped, signal));
    expect(refused.code).toBe("KeyVaultForbidden");
    expect(refused.message).toContain("Key Vault Crypto User");
  }
  const foreign = wrapperOf(worker, { audience: "https://management.azure.com" }).wrapper;
  const unauthorized = await failureOf(foreign.unwrap(keyId, wrapped, signal));
  expect(unauthorized.code).toBe("KeyVaultUnauthorized");
  expect(unauthorized.message).toContain(tokens.tenantId);
  expect(unauthorized.message).toContain("AKV10022");

  await ask("PATCH", new URL(keyId).pathname, { attributes: { enabled: false } });
  expect((await unwrap()).code).toBe("KeyVaultKeyDisabled");
  await ask("PATCH", new URL(keyId).pathname, { attributes: { enabled: true } });
  await ask("DELETE", "/keys/refused");
  const deleted = await unwrap();
  expect(deleted.code).toBe("KeyVaultKeyNotFound");
  expect(deleted.message).toContain("recover it");
  expect((await ask("POST", "/keys/refused/create", { kty: "RSA" })).status).toBe(409);
  await ask("POST", "/deletedkeys/refused/recover");
  expect(Uint8Array.from(await wrapper.unwrap(keyId, wrapped, signal))).toEqual(
    seededRandom("x")(32),
  );
  const other = await newKey("other");
  expect((await failureOf(wrapper.unwrap(other, wrapped, signal))).code).toBe("KeyUnwrapRefused");
});

it("tries again when the vault does not answer, and says which one", async () => {
  const { wrapper, asked } = wrapperOf(worker);
  const unreachable = await failureOf(
    wrapper.unwrap("https://127.0.0.1:1/keys/name/version", Buffer.alloc(256), signal),
  );
  expect(unreachable).toMatchObject({ code: "KeyVaultUnreachable", retry: "backoff" });
  expect(unreachable.message).toContain("127.0.0.1:1");
  expect(asked).toHaveLength(4);
});

it("challenges a caller without a token as Key Vault does", async () => {
  const { statusCode, headers, body } = await request(
    `${vault.origin}/keys/plain?api-version=7.4`,
    { dispatcher: agent },
  );
  await body.dump();
  expect(statusCode).toBe(401);
  expect(headers["www-authenticate"]).toBe(
    `Bearer authorization="https://login.microsoftonline.com/${tokens.tenantId}", resource="${audience}"`,
  );
});

it("lists versions, and refuses what Key Vault refuses", async () => {
  const first = await newKey("versions");
  const second = await newKey("versions");
  const listed = await ask("GET", "/keys/versions/versions");
  const kids = z.object({ value: z.array(z.object({ kid: z.string() })) }).parse(listed.body).value;
  expect(kids.map(({ kid }) => kid)).toEqual([first, second]);
  expect(bundleSchema.parse((await ask("GET", "/keys/versions")).body).key.kid).toBe(second);
  expect((await ask("GET", "/keys/absent")).status).toBe(404);
  expect((await ask("POST", "/keys/small/create", { kty: "RSA", key_size: 1024 })).status).toBe(
    400,
  );
  expect((await ask("POST", "/keys/versions//wrapkey", { alg: "A", value: "AA" })).status).toBe(
    403,
  );
});
