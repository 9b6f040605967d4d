import { z } from "zod";

/** Repository: a folder in a blob container. Its password is in the key vault, known here by name. */
export const repositoryInputSchema = z.strictObject({
  name: z.string().min(1).max(100),
  /** Blob service endpoint, e.g. `https://account.blob.core.windows.net/`. */
  blobServiceUrl: z.url({ protocol: /^https$/ }),
  container: z
    .string()
    .regex(/^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, "is no name of a blob container"),
  folder: z
    .string()
    .max(200)
    .regex(/^$|^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/, "has no slash at its ends, no empty part")
    .default(""),
  encryption: z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("password"),
      secretName: z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,62}$/, "is no name of a secret"),
    }),
    z.strictObject({
      kind: z.literal("key-vault"),
      /** URL of one version of an RSA key, e.g. `https://vault.vault.azure.net/keys/name/version`. */
      keyId: z
        .url({ protocol: /^https$/ })
        .regex(/^https:\/\/[^/?#@]+\/keys\/[0-9A-Za-z-]{1,127}\/[0-9A-Za-z]{1,64}$/, {
          error: "is no URL of the version of a key in a key vault",
        }),
    }),
    z.strictObject({ kind: z.literal("none") }),
  ]),
  /**
   * Restore points that nobody can delete, not even with the account's keys, before their retention
   * ends, `days` at least. The container must support version-level immutability.
   */
  immutability: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("off") }),
      z.strictObject({ kind: z.literal("on"), days: z.number().int().min(1).max(36_500) }),
    ])
    .default({ kind: "off" }),
  /** Azure region in which workers look after it; where its newest point's VM is when missing. */
  location: z
    .string()
    .regex(/^[a-z0-9]{1,60}$/, "is no name of an Azure region, e.g. westeurope")
    .optional(),
});
export type RepositoryInput = z.infer<typeof repositoryInputSchema>;

export const repositorySchema = repositoryInputSchema.extend({
  repositoryId: z.string().min(1),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type Repository = z.infer<typeof repositorySchema>;
