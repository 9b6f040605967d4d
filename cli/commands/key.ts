import { randomBytes } from "node:crypto";
import {
  addKeySlot,
  listKeySlots,
  newRecoveryKey,
  removeKeySlot,
  rotateRepositoryKey,
  type RepositorySecret,
} from "#core/repository/index.ts";
import { EXIT_CODES, type Command, type CommandContext, type ExitCode } from "../command-line.ts";
import { findText } from "../secret.ts";
import { formatTable } from "../table.ts";
import { UsageError } from "../usage-error.ts";

/**
 * `key ...`: which secrets open the repository. These commands write key slots and need the right
 * to create and delete objects; all others read only.
 */
const random = (byteCount: number): Uint8Array => randomBytes(byteCount);
const NEW_PASSWORD = "HOLDFAST_NEW_REPOSITORY_PASSWORD";
const newPasswordOptions = { "new-password-file": { type: "string" } } as const;
const newPasswordDetails = ["", `--new-password-file FILE  else ${NEW_PASSWORD}, else a prompt`];

const listKeysCommand: Command = {
  name: "key list",
  usage: "[--json]",
  summary: "Lists the key slots: each lets one secret open the repository.",
  details: [],
  options: {},
  positionalCounts: [0],
  async run({ repository, options, terminal, signal }) {
    const slots = await listKeySlots(repository, signal);
    if (options["json"] === true) {
      terminal.print(JSON.stringify({ slots }, null, 2));
      return EXIT_CODES.ok;
    }
    const rows = slots.map(({ slotId, type, vaultKeyId, createdAt, immutableUntil }) => [
      slotId,
      type,
      createdAt.toISOString(),
      immutableUntil?.toISOString() ?? "",
      vaultKeyId ?? "",
    ]);
    const titles = ["KEY SLOT", "TYPE", "CREATED", "IMMUTABLE UNTIL", "KEY VAULT KEY"];
    terminal.print(
      formatTable(
        titles.map((title) => ({ title })),
        rows,
      ),
    );
    return EXIT_CODES.ok;
  },
};

const addPasswordCommand: Command = {
  name: "key add-password",
  usage: "[--new-password-file FILE]",
  summary: "Lets one more password open the repository.",
  details: newPasswordDetails,
  options: newPasswordOptions,
  positionalCounts: [0],
  async run(context) {
    const password = await newPasswordOf(context);
    return addSlot(context, { kind: "password", password });
  },
};

const addRecoveryCommand: Command = {
  name: "key add-recovery",
  usage: "",
  summary: "Makes a recovery key, shows it once, and lets it open the repository.",
  details: ["", "The key goes to standard output: print it and lock it away."],
  options: {},
  positionalCounts: [0],
  async run(context) {
    const recoveryKey = newRecoveryKey(random);
    const exitCode = await addSlot(context, { kind: "recovery-key", recoveryKey });
    context.terminal.print(recoveryKey);
    return exitCode;
  },
};

const addVaultCommand: Command = {
  name: "key add-vault",
  usage: "KEY-URL",
  summary: "Lets an RSA key of Azure Key Vault open the repository.",
  details: ["", "KEY-URL: https://VAULT.vault.azure.net/keys/NAME; you need wrapKey on it."],
  options: {},
  positionalCounts: [1],
  async run(context) {
    const [keyId = ""] = context.positionals;
    return addSlot(context, { kind: "key-vault", keyId, vault: context.openVault() });
  },
};

const removeCommand: Command = {
  name: "key remove",
  usage: "KEY-SLOT",
  summary: "Deletes a key slot; never the last one.",
  details: ["", "Who copied the key of the repository keeps it: see key rotate."],
  options: {},
  positionalCounts: [1],
  async run({ repository, positionals, terminal, signal }) {
    const [slotId = ""] = positionals;
    await removeKeySlot(repository, slotId, signal);
    terminal.complain(`Removed key slot ${slotId}.`);
    return EXIT_CODES.ok;
  },
};

const rotateCommand: Command = {
  name: "key rotate",
  usage: "[--new-password-file FILE]",
  summary: "Gives the repository another key, which one new password opens.",
  details: [
    ...newPasswordDetails,
    "",
    "What is written from now on is sealed by the new key; what is there opens with it, too. All",
    "former key slots go: add recovery keys and vaults again. Give the control plane the password.",
  ],
  options: newPasswordOptions,
  positionalCounts: [0],
  async run(context) {
    const { repository, terminal, signal } = context;
    const password = await newPasswordOf(context);
    const secrets = [{ kind: "password", password } as const];
    const options = { random, now: new Date(), secrets };
    const { slotIds, remainingSlots } = await rotateRepositoryKey(repository, options, signal);
    terminal.complain(`The repository has a new key, opened by key slot ${slotIds.join(", ")}.`);
    for (const name of remainingSlots) {
      terminal.complain(
        `holdfast: ${name} is immutable: its secret opens what was written before.`,
      );
    }
    return remainingSlots.length === 0 ? EXIT_CODES.ok : EXIT_CODES.findings;
  },
};

export const keyCommands: readonly Command[] = [
  listKeysCommand,
  addPasswordCommand,
  addRecoveryCommand,
  addVaultCommand,
  removeCommand,
  rotateCommand,
];

async function addSlot(
  { repository, terminal, signal }: CommandContext,
  secret: RepositorySecret,
): Promise<ExitCode> {
  const { slotId } = await addKeySlot(repository, secret, { random }, signal);
  terminal.complain(`Added key slot ${slotId}.`);
  return EXIT_CODES.ok;
}

async function newPasswordOf({ options, terminal, signal }: CommandContext): Promise<string> {
  const given = await findText({ options, terminal }, "new-password-file", NEW_PASSWORD);
  if (given !== undefined) return given;
  if (terminal.askSecret === undefined) {
    throw new UsageError(`Give --new-password-file or set ${NEW_PASSWORD}.`);
  }
  const password = await terminal.askSecret("New password of the repository: ", signal);
  const again = await terminal.askSecret("The same again: ", signal);
  if (password === "" || password !== again) {
    throw new UsageError("The two passwords are not the same, or empty. Nothing was changed.");
  }
  return password;
}
