import { constants, createHash, privateDecrypt } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { openRepository, readVmPoint, type RepositorySecret } from "#core/repository/index.ts";
import { openFolder } from "../../../vectors/repository/independent-reader.ts";
import { failureOf, restore, signal } from "./fixtures.ts";

const folder = join(import.meta.dirname, "../../../vectors/repository/v1-keys");
const secretSchema = z.union([
  z.strictObject({ password: z.string() }),
  z.strictObject({ recoveryKey: z.string() }),
  z.strictObject({ rsaPrivateKey: z.string(), keyId: z.string() }),
]);
const point = z.object({
  diskId: z.string(),
  sequence: z.number(),
  manifestId: z.string(),
  sha256: z.string(),
});
const vectorSchema = z.object({
  secrets: z.array(secretSchema),
  refused: z.array(secretSchema).default([]),
  points: z.array(point),
  vm: z.object({ vmId: z.string(), pointId: z.string(), vm: z.json() }).optional(),
});
const expected = z
  .record(z.string(), vectorSchema)
  .parse(JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")));

function secretOf(secret: z.infer<typeof secretSchema>): RepositorySecret {
  if ("password" in secret) return { kind: "password", ...secret };
  if ("recoveryKey" in secret) return { kind: "recovery-key", ...secret };
  const key = {
    key: secret.rsaPrivateKey,
    padding: constants.RSA_PKCS1_OAEP_PADDING,
    oaepHash: "sha256",
  };
  const vault = {
    wrap: () => Promise.reject(new Error("nothing is written to a vector")),
    unwrap: async (_keyId: string, wrapped: Uint8Array) => privateDecrypt(key, wrapped),
  };
  return { kind: "key-vault", keyId: secret.keyId, vault };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe.each(Object.entries(expected))("frozen repository v1-keys/%s", (name, vector) => {
  it.each(vector.secrets)("opens by $password$recoveryKey$keyId", async (secret) => {
    const reader = openFolder(join(folder, name), secret);
    const store = new FolderStore(join(folder, name));
    const repository = await openRepository(store, secretOf(secret), signal);
    for (const { sha256: digest, ...reference } of vector.points) {
      const { image, manifestId } = reader.readDisk(reference.diskId, reference.sequence);
      expect(manifestId).toBe(reference.manifestId);
      expect(sha256(image)).toBe(digest);
      expect(sha256(await restore(repository, reference))).toBe(digest);
    }
    if (vector.vm === undefined) return;
    const { vmId, pointId, vm } = vector.vm;
    expect(reader.readVm(vmId, pointId).vm).toEqual(vm);
    expect((await readVmPoint(repository, vmId, pointId, signal)).vm).toEqual(vm);
  });

  it("opens by no other secret", async () => {
    const store = new FolderStore(join(folder, name));
    for (const secret of [...vector.refused, { password: "another" }]) {
      expect(() => openFolder(join(folder, name), secret)).toThrow("no key slot fits");
      expect(await failureOf(openRepository(store, secretOf(secret), signal))).toMatch(/^Wrong/);
    }
  });
});
