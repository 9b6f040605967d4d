import { randomBytes, randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

/** What Key Vault would hold, and ids that are chosen once per stack: a file with mode 0600. */
const secretsSchema = z.object({
  controlPlaneId: z.guid(),
  /** Base64 of 32 bytes. */
  masterKey: z.string(),
  /** Password of repositories that name the secret `local`. */
  repositoryPassword: z.string(),
});
export type StackSecrets = z.infer<typeof secretsSchema>;

/** Name of the secret with the repository's password, as a repository record refers to it. */
export const repositorySecretName = "local";

const keySizeBytes = 32;

export async function ensureSecrets(stateDirectory: string): Promise<StackSecrets> {
  const file = join(stateDirectory, "secrets.json");
  try {
    return secretsSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  const secrets: StackSecrets = {
    controlPlaneId: randomUUID(),
    masterKey: randomBytes(keySizeBytes).toString("base64"),
    repositoryPassword: randomBytes(keySizeBytes).toString("base64url"),
  };
  await writeFile(file, JSON.stringify(secrets, undefined, 2), { mode: 0o600 });
  return secrets;
}
