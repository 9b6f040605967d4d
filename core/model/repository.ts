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
    z.strictObject({ kind: z.literal("none") }),
  ]),
});
export type RepositoryInput = z.infer<typeof repositoryInputSchema>;

export const repositorySchema = repositoryInputSchema.extend({
  repositoryId: z.string().min(1),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type Repository = z.infer<typeof repositorySchema>;
