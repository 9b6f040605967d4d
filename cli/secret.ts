/** What opens the repository: a file, the environment, or a prompt; never an argument. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { codeOf } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import type { KeyWrapper } from "#core/ports/key-wrapper.ts";
import { openRepository, type Repository, type RepositorySecret } from "#core/repository/index.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage-error.ts";

export const SECRET_OPTIONS = {
  "password-file": { type: "string" },
  "recovery-key-file": { type: "string" },
  "key-vault-key": { type: "string" },
} as const;

interface SecretSources {
  readonly options: { readonly [name: string]: unknown };
  readonly terminal: Terminal;
  readonly openVault: () => KeyWrapper;
}

/** Opens the repository; asks for the password when none was given and one is needed. */
export async function openWithSecret(
  store: BlobStore,
  sources: SecretSources,
  signal: AbortSignal,
): Promise<Repository> {
  const given = await findSecret(sources);
  if (given !== undefined) return openRepository(store, given, signal);
  try {
    return await openRepository(store, { kind: "none" }, signal);
  } catch (error) {
    if (codeOf(error) !== "RepositoryEncryptionMismatch") throw error;
  }
  const { askSecret } = sources.terminal;
  if (askSecret === undefined) {
    throw new UsageError(
      "The repository is encrypted. Give --password-file, --recovery-key-file or --key-vault-key, or set " +
        "HOLDFAST_REPOSITORY_PASSWORD or HOLDFAST_REPOSITORY_RECOVERY_KEY.",
    );
  }
  const password = await askSecret("Password of the repository: ", signal);
  return openRepository(store, { kind: "password", password }, signal);
}

async function findSecret(sources: SecretSources): Promise<RepositorySecret | undefined> {
  const password = await findText(sources, "password-file", "HOLDFAST_REPOSITORY_PASSWORD");
  const recoveryKey = await findText(
    sources,
    "recovery-key-file",
    "HOLDFAST_REPOSITORY_RECOVERY_KEY",
  );
  const keyId = sources.options["key-vault-key"];
  const given: RepositorySecret[] = [];
  if (password !== undefined) given.push({ kind: "password", password });
  if (recoveryKey !== undefined) given.push({ kind: "recovery-key", recoveryKey });
  if (typeof keyId === "string") {
    given.push({ kind: "key-vault", keyId, vault: sources.openVault() });
  }
  if (given.length > 1) {
    throw new UsageError("Give one secret, not several (see the environment, too).");
  }
  return given[0];
}

/** The text of a file that an option names, else of a variable; undefined when there is neither. */
export async function findText(
  { options, terminal }: Pick<SecretSources, "options" | "terminal">,
  option: "password-file" | "recovery-key-file" | "new-password-file",
  variable: string,
): Promise<string | undefined> {
  const file = options[option];
  if (typeof file !== "string") return terminal.environment[variable] || undefined;
  let text: string;
  try {
    text = await readFile(resolve(terminal.directory, file), "utf8");
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    throw new UsageError(`--${option}: the file ${file} cannot be read (${why}).`);
  }
  // Editors end the last line; that is no part of a secret.
  const secret = text.replace(/\r?\n$/, "");
  if (secret === "") throw new UsageError(`--${option}: the file ${file} is empty.`);
  return secret;
}
