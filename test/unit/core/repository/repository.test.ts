import { expect, it } from "vitest";
import { createRepository, openRepository } from "#core/repository/index.ts";
import { encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { DyingStore } from "#core/repository/testing/dying-store.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, newRepository, password, reopen, seededRandom, signal } from "./fixtures.ts";

const encoder = new TextEncoder();

function replaceObject(store: MemoryStore, name: string, edit: (text: string) => string): void {
  const object = store.objects.get(name)!;
  const text = edit(new TextDecoder().decode(object.bytes));
  store.objects.set(name, { ...object, bytes: encoder.encode(text) });
}

it("creating twice with the same secret opens what is there", async () => {
  const store = new MemoryStore();
  const first = await newRepository(store, "one");
  const second = await newRepository(store, "two");
  expect(second.descriptor).toEqual(first.descriptor);
  // README.txt, repo.json and one key slot.
  expect(store.objects.size).toBe(3);
});

const recovery = {
  kind: "recovery-key",
  recoveryKey: encodeRecoveryKey(seededRandom("recovery")(32)),
} as const;

it.each([recovery, { kind: "none" } as const])(
  "a creation that died anywhere is finished by the next one, with $kind, and nothing is left over",
  async (encryption) => {
    const options = { encryption, now: new Date(0) };
    for (const after of [false, true]) {
      for (let at = 0; ; at++) {
        const store = new MemoryStore();
        const dying = new DyingStore(store, { at, after, aftermath: "dies" });
        const first = { ...options, random: seededRandom("first") };
        await failureOf(createRepository(dying, first, signal));
        const second = { ...options, random: seededRandom("second") };
        const created = await createRepository(store, second, signal);
        expect(store.objects.size).toBe(3);
        const { descriptor } = await openRepository(store, encryption, signal);
        expect(descriptor).toEqual(created.descriptor);
        if (!dying.hasStruck) break;
      }
    }
  },
);

it("a creation takes no key from a slot that it cannot open, or that somebody changed", async () => {
  const store = new MemoryStore();
  const options = { encryption: recovery, now: new Date(0) };
  await createRepository(store, { ...options, random: seededRandom("first") }, signal);
  store.objects.delete("repo.json");
  const [name = ""] = [...store.objects.keys()].filter((each) => each.startsWith("keys/"));
  replaceObject(store, name, (text) => text.replace('"version": 1', '"version": 1, "more": 1'));
  const created = await createRepository(
    store,
    { ...options, random: seededRandom("second") },
    signal,
  );
  expect(name).not.toContain(created.descriptor.keyId);
  const other = encodeRecoveryKey(seededRandom("other")(32));
  store.objects.delete("repo.json");
  const third = { kind: "recovery-key", recoveryKey: other } as const;
  await createRepository(
    store,
    { encryption: third, now: new Date(0), random: seededRandom("third") },
    signal,
  );
  expect([...store.objects.keys()].filter((each) => each.startsWith("keys/"))).toHaveLength(3);
});

it("a creation takes no key from a slot of a key vault: anybody can make one", async () => {
  const store = new MemoryStore();
  const keyId = "https://v.example/keys/k/1";
  const vault = {
    wrap: async (_keyId: string, secret: Uint8Array) => ({ keyId, wrapped: secret }),
    unwrap: async (_keyId: string, wrapped: Uint8Array) => wrapped,
  };
  const options = { encryption: { kind: "key-vault", keyId, vault } as const, now: new Date(0) };
  const planted = await createRepository(
    store,
    { ...options, random: seededRandom("evil") },
    signal,
  );
  store.objects.delete("repo.json");
  const created = await createRepository(
    store,
    { ...options, random: seededRandom("own") },
    signal,
  );
  expect(created.key.repositoryKey).not.toEqual(planted.key.repositoryKey);
});

it("refuses a wrong password", async () => {
  const store = new MemoryStore();
  await newRepository(store);
  const wrong = { kind: "password", password: "wrong" } as const;
  expect(await failureOf(openRepository(store, wrong, signal))).toBe("WrongRepositoryPassword");
  const options = { encryption: wrong, random: seededRandom("x"), now: new Date(0) };
  expect(await failureOf(createRepository(store, options, signal))).toBe("WrongRepositoryPassword");
});

it("takes the composed and the decomposed form of a password for the same", async () => {
  const store = new MemoryStore();
  const encryption = { kind: "password", password: "caf\u00e9" } as const;
  const random = seededRandom("x");
  const options = { encryption, random, now: new Date(0), scryptLogN: 10 };
  await createRepository(store, options, signal);
  const decomposed = { kind: "password", password: "cafe\u0301" } as const;
  const repository = await openRepository(store, decomposed, signal);
  expect(repository.descriptor.encryption).toBe("aes-256-gcm");
});

it("leaves a foreign repo.json alone and says so", async () => {
  for (const text of ["hello", "{}", '{"magic":"other"}', "[]", "null"]) {
    const store = new MemoryStore();
    await store.create("repo.json", encoder.encode(text), signal);
    expect(await failureOf(newRepository(store))).toBe("NotARepository");
    expect(store.objects.size).toBe(1);
  }
});

it("says when there is no repository, or no key slot", async () => {
  const store = new MemoryStore();
  expect(await failureOf(reopen(store))).toBe("RepositoryNotFound");
  await newRepository(store);
  for (const name of store.objects.keys()) if (name.startsWith("keys/")) store.objects.delete(name);
  expect(await failureOf(reopen(store))).toBe("RepositoryKeyMissing");
});

it("refuses a newer format and features that it does not know", async () => {
  const newer = new MemoryStore();
  await newRepository(newer);
  replaceObject(newer, "repo.json", (text) =>
    text.replace('"formatVersion": 1', '"formatVersion": 2'),
  );
  expect(await failureOf(reopen(newer))).toBe("RepositoryTooNew");
  const unknown = new MemoryStore();
  await newRepository(unknown);
  replaceObject(unknown, "repo.json", (text) => text.replace('"zstd"', '"zstd", "time-travel"'));
  expect(await failureOf(reopen(unknown))).toBe("RepositoryFeatureUnknown");
});

it("notices an edited descriptor", async () => {
  const store = new MemoryStore();
  await newRepository(store);
  replaceObject(store, "repo.json", (text) => text.replace("2026-01-02", "2026-01-03"));
  expect(await failureOf(reopen(store))).toBe("RepositoryDamaged");
});

it("skips key slots of unknown types", async () => {
  const store = new MemoryStore();
  const { descriptor } = await newRepository(store);
  const slot = {
    magic: "holdfast-key-slot",
    version: 1,
    repositoryId: descriptor.repositoryId,
    keyId: descriptor.keyId,
    slotId: "a-vault",
    type: "key-vault",
    anything: 1,
  };
  const name = `keys/${descriptor.keyId}/a-vault.json`;
  await store.create(name, encoder.encode(JSON.stringify(slot)), signal);
  expect((await reopen(store)).descriptor).toEqual(descriptor);
});

it("does not encrypt only when asked to, and never opens such a repository by password", async () => {
  const store = new MemoryStore();
  const none = { kind: "none" } as const;
  const options = { encryption: none, random: seededRandom("x"), now: new Date(0) };
  await createRepository(store, options, signal);
  expect((await openRepository(store, none, signal)).descriptor.encryption).toBe("none");
  expect(await failureOf(openRepository(store, password, signal))).toBe(
    "RepositoryEncryptionMismatch",
  );
  const encrypted = new MemoryStore();
  await newRepository(encrypted);
  expect(await failureOf(openRepository(encrypted, none, signal))).toBe(
    "RepositoryEncryptionMismatch",
  );
});
