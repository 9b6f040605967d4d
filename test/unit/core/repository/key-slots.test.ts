import { constants, generateKeyPairSync, privateDecrypt, publicEncrypt } from "node:crypto";
import { describe, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { KeyWrapper } from "#core/ports/key-wrapper.ts";
import {
  addKeySlot,
  createRepository,
  listKeySlots,
  newRecoveryKey,
  openRepository,
  removeKeySlot,
  type Repository,
  type RepositorySecret,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, newRepository, password, seededRandom, signal } from "./fixtures.ts";

const random = seededRandom("slots");
const quick = {
  random,
  scryptLogN: 10,
  argon2: { memoryKiB: 8 * 1024, passes: 1, parallelism: 1 },
} as const;

/** A vault with one key, in memory. */
class TestVault implements KeyWrapper {
  readonly asked: string[] = [];
  readonly #keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
  readonly #oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };

  async wrap(keyId: string, secret: Uint8Array) {
    const key = { key: this.#keys.publicKey, ...this.#oaep };
    return { keyId: `${keyId}/v1`, wrapped: publicEncrypt(key, secret) };
  }

  async unwrap(keyId: string, wrapped: Uint8Array) {
    this.asked.push(keyId);
    try {
      return privateDecrypt({ key: this.#keys.privateKey, ...this.#oaep }, wrapped);
    } catch {
      throw new HoldfastError("KeyUnwrapRefused", "other key");
    }
  }
}

const vaultKey = "https://vault.vault.azure.net/keys/backup";
const recovery = (recoveryKey = newRecoveryKey(random)): RepositorySecret => ({
  kind: "recovery-key",
  recoveryKey,
});
const secrets: Record<string, () => { secret: RepositorySecret; wrong: RepositorySecret }> = {
  scrypt: () => ({ secret: password, wrong: { ...password, password: "other" } }),
  argon2id: () => ({
    secret: { kind: "password", password: "caf\u00e9" },
    wrong: { kind: "password", password: "cafe" },
  }),
  "recovery-key": () => ({ secret: recovery(), wrong: recovery() }),
  "key-vault-rsa-oaep-256": () => {
    const vault = new TestVault();
    const secret = { kind: "key-vault", keyId: vaultKey, vault } as const;
    return { secret, wrong: { ...secret, keyId: `${vaultKey}-2` } };
  },
};
const wrongCodes: Record<string, string> = {
  scrypt: "WrongRepositoryPassword",
  argon2id: "WrongRepositoryPassword",
  "recovery-key": "WrongRecoveryKey",
  "key-vault-rsa-oaep-256": "NoSlotOfVaultKey",
};

async function create(store: MemoryStore, type: string, encryption: RepositorySecret) {
  const passwordMethod = type === "argon2id" ? "argon2id" : "scrypt";
  const options = { ...quick, passwordMethod, encryption, now: new Date(0) } as const;
  return createRepository(store, options, signal);
}

function slotName(repository: Repository, slotId: string): string {
  return `keys/${repository.key.repositoryKeyId}/${slotId}.json`;
}

function editSlot(store: MemoryStore, name: string, change: Record<string, unknown>): void {
  const object = store.objects.get(name)!;
  const slot = { ...JSON.parse(new TextDecoder().decode(object.bytes)), ...change };
  store.objects.set(name, {
    ...object,
    bytes: new TextEncoder().encode(`${JSON.stringify(slot)}\n`),
  });
}

describe.each(Object.keys(secrets))("a slot of type %s", (type) => {
  it("opens with its secret and with no other", async () => {
    const store = new MemoryStore();
    const { secret, wrong } = secrets[type]!();
    const created = await create(store, type, secret);
    expect(await listKeySlots(created, signal)).toMatchObject([{ type }]);
    const opened = await openRepository(store, secret, signal);
    expect(opened.key).toEqual(created.key);
    expect(await failureOf(openRepository(store, wrong, signal))).toBe(wrongCodes[type]);
  });

  it("does not open when any of its fields was changed", async () => {
    const store = new MemoryStore();
    const { secret } = secrets[type]!();
    const created = await create(store, type, secret);
    const [{ name } = { name: "" }] = await listKeySlots(created, signal);
    const original = store.objects.get(name)!;
    const fields: Record<string, unknown> = JSON.parse(new TextDecoder().decode(original.bytes));
    for (const [field, value] of Object.entries(fields)) {
      const other =
        typeof value === "number"
          ? value + 1
          : field === "vaultKeyId"
            ? `${vaultKey}/v2`
            : `${String(value).startsWith("A") ? "B" : "A"}${String(value).slice(1)}`;
      editSlot(store, name, { [field]: other });
      expect(await failureOf(openRepository(store, secret, signal)), field).not.toBe("no failure");
      store.objects.set(name, original);
    }
  });
});

it("takes no more memory or time than the bounds, whatever a slot asks for", async () => {
  const store = new MemoryStore();
  const secret = { kind: "password", password: "caf\u00e9" } as const;
  const created = await create(store, "argon2id", secret);
  const name = slotName(created, "password-1");
  const original = store.objects.get(name)!;
  for (const hostile of [
    { memoryKiB: 4 * 1024 * 1024 },
    { memoryKiB: 0 },
    { passes: 1_000_000 },
    { parallelism: 16_000_000 },
    { parallelism: 1.5 },
    { memoryKiB: "64" },
    { salt: "" },
    { salt: "A".repeat(100_000) },
    { wrapped: "" },
    { wrapped: 7 },
    { type: "scrypt", logN: 40, r: 8, p: 1 },
    { type: "scrypt", logN: 15, r: 8, p: 1_000_000 },
  ]) {
    editSlot(store, name, hostile);
    const failure = await failureOf(openRepository(store, secret, signal));
    expect(["RepositoryDamaged", "WrongRepositoryPassword"], JSON.stringify(hostile)).toContain(
      failure,
    );
    store.objects.set(name, original);
  }
  const bytes = new Uint8Array(1024 * 1024).fill(0x20);
  store.objects.set(name, { ...original, bytes });
  expect(await failureOf(openRepository(store, secret, signal))).toBe("RepositoryDamaged");
});

it("opens with a good slot beside damaged and unknown ones", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const slot = JSON.parse(
    new TextDecoder().decode(store.objects.get(slotName(repository, "password-1"))!.bytes),
  );
  const put = (slotId: string, value: unknown) =>
    store.create(slotName(repository, slotId), Buffer.from(`${JSON.stringify(value)}\n`), signal);
  await put("a-damaged", { magic: "other" });
  await put("a-foreign", { ...slot, repositoryId: "0".repeat(32), slotId: "a-foreign" });
  await put("a-later", { ...slot, type: "kyber", slotId: "a-later", tag: undefined });
  expect((await openRepository(store, password, signal)).key).toEqual(repository.key);
  const listed = await listKeySlots(repository, signal);
  expect(listed.map(({ slotId, type }) => [slotId, type])).toEqual([
    ["a-damaged", "damaged"],
    ["a-foreign", "damaged"],
    ["a-later", "unknown"],
    ["password-1", "scrypt"],
  ]);
  // What this version cannot open is no reason to let the last good slot go.
  expect(await failureOf(removeKeySlot(repository, "password-1", signal))).toBe("LastKeySlot");
});

it("asks a vault only for slots of the very key that the caller named", async () => {
  const store = new MemoryStore();
  const vault = new TestVault();
  const secret = { kind: "key-vault", keyId: vaultKey, vault } as const;
  const repository = await create(store, "key-vault", secret);
  const name = slotName(repository, "key-vault-1");
  const original = store.objects.get(name);
  if (original === undefined) throw new Error(name);
  vault.asked.length = 0;
  for (const vaultKeyId of [
    "https://evil.example/keys/backup/v1",
    "https://vault.vault.azure.net.evil.example/keys/backup/v1",
    "https://user@vault.vault.azure.net/keys/backup/v1",
    "https://vault.vault.azure.net/keys/other/v1",
    "https://vault.vault.azure.net/keys/backup/v1/unwrapkey",
    "https://vault.vault.azure.net/secrets/backup/v1",
  ]) {
    editSlot(store, name, { vaultKeyId });
    expect(await failureOf(openRepository(store, secret, signal))).toBe("NoSlotOfVaultKey");
  }
  expect(vault.asked).toEqual([]);
  // The key was rotated in its vault: the slot still names the version that wrapped it.
  store.objects.set(name, original);
  const rotated = { ...secret, keyId: `${vaultKey.toUpperCase().replace("HTTPS", "https")}/v2` };
  expect((await openRepository(store, rotated, signal)).key).toEqual(repository.key);
  expect(vault.asked).toEqual([`${vaultKey}/v1`]);
});

it("changes a password by adding one and removing the other", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  expect(await failureOf(removeKeySlot(repository, "password-1", signal))).toBe("LastKeySlot");
  const next = { kind: "password", password: "battery staple" } as const;
  const { slotId } = await addKeySlot(repository, next, quick, signal);
  await removeKeySlot(repository, "password-1", signal);
  expect((await openRepository(store, next, signal)).key).toEqual(repository.key);
  expect(await failureOf(openRepository(store, password, signal))).toBe("WrongRepositoryPassword");
  expect(await failureOf(removeKeySlot(repository, slotId, signal))).toBe("LastKeySlot");
  expect(await failureOf(removeKeySlot(repository, "password-1", signal))).toBe("KeySlotNotFound");
});

it("cannot remove an immutable slot, and says so", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const immutableUntil = new Date(1000);
  const { slotId } = await addKeySlot(repository, recovery(), { ...quick, immutableUntil }, signal);
  expect(await failureOf(removeKeySlot(repository, slotId, signal))).toBe("KeySlotImmutable");
  expect(await listKeySlots(repository, signal)).toHaveLength(2);
});

it("lets one at a time change the keys, and adds no slot to what is not encrypted", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const lock = await store.lock("keys/lock", signal);
  expect(await failureOf(addKeySlot(repository, recovery(), quick, signal))).toBe(
    "RepositoryKeysBusy",
  );
  await lock?.release();
  expect(await failureOf(addKeySlot(repository, { kind: "none" }, quick, signal))).toBe(
    "RepositoryNotEncrypted",
  );
  const open = await create(new MemoryStore(), "none", { kind: "none" });
  expect(await failureOf(addKeySlot(open, recovery(), quick, signal))).toBe(
    "RepositoryNotEncrypted",
  );
});

it("tells what a vault refused when no slot opens", async () => {
  const store = new MemoryStore();
  const vault = new TestVault();
  const secret = { kind: "key-vault", keyId: vaultKey, vault } as const;
  await create(store, "key-vault", secret);
  const refusing: KeyWrapper = {
    wrap: (keyId, bytes) => vault.wrap(keyId, bytes),
    unwrap: async () => {
      throw new HoldfastError("KeyVaultForbidden", "no permission");
    },
  };
  expect(await failureOf(openRepository(store, { ...secret, vault: refusing }, signal))).toBe(
    "KeyVaultForbidden",
  );
});

it("shows every change of a slot to who holds the repository key, whatever its secret is", async () => {
  const store = new MemoryStore();
  const vault = new TestVault();
  const repository = await newRepository(store);
  await addKeySlot(repository, recovery(), quick, signal);
  await addKeySlot(repository, { kind: "key-vault", keyId: vaultKey, vault }, quick, signal);
  const argon2 = { memoryKiB: 8192, passes: 1, parallelism: 1 };
  const options = { ...quick, passwordMethod: "argon2id", argon2 } as const;
  await addKeySlot(repository, password, options, signal);
  const slots = await listKeySlots(repository, signal);
  expect(slots).toHaveLength(4);
  for (const { name, slotId } of slots) {
    const object = store.objects.get(name);
    if (object === undefined) throw new Error(name);
    for (let position = 0; position < object.bytes.length; position++) {
      const bytes = Uint8Array.from(object.bytes);
      bytes[position] = (bytes[position] ?? 0) ^ (1 << (position % 8));
      store.objects.set(name, { ...object, bytes });
      const listed = await listKeySlots(repository, signal);
      const place = `${slotId} byte ${position}`;
      expect(listed.find((slot) => slot.slotId === slotId)?.type, place).toBe("damaged");
    }
    store.objects.set(name, object);
  }
});

it("opens slots of earlier programs, which carry no tag, and refuses a tag that does not fit", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const name = slotName(repository, "password-1");
  const object = store.objects.get(name);
  if (object === undefined) throw new Error(name);
  const text = Buffer.from(object.bytes).toString();
  const set = (changed: string) =>
    store.objects.set(name, { ...object, bytes: Buffer.from(changed) });
  set(text.replace(/,"tag":"[0-9a-f]{64}"\}/, "\n}"));
  expect((await openRepository(store, password, signal)).key).toEqual(repository.key);
  expect((await listKeySlots(repository, signal))[0]?.type).toBe("scrypt");
  const wrong = text.includes('"tag":"0') ? "1" : "0";
  set(text.replace(/"tag":"./, `"tag":"${wrong}`));
  expect(await failureOf(openRepository(store, password, signal))).toBe("RepositoryDamaged");
  set(text.replace('"tag"', '"uag"'));
  expect(await failureOf(openRepository(store, password, signal))).toBe("RepositoryDamaged");
});
