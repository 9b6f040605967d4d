/**
 * Azurite with accounts that come and go: the program that `azurite-process.ts` starts.
 *
 * Azurite knows the accounts that its environment names, and looks again once a minute. A storage
 * account of the simulated Azure is made by a request and used at once, so this program answers the
 * question "which account?" itself, from the list that its parent sends. Azurite's own well-known
 * account does not exist here. Everything else is Azurite as it is, with its own command line.
 */
import { createRequire } from "node:module";
import { accountListSchema, type AzuriteReport } from "./azurite-messages.ts";

const serviceCount = 3;

interface AccountKeys {
  readonly name: string;
  readonly key1: Buffer;
}

/** The parts of Azurite's classes that are replaced; its package carries no types. */
interface AzuriteClass<Prototype> {
  readonly default: { readonly prototype: Prototype };
}

const require = createRequire(import.meta.url);
const accountStore: AzuriteClass<{
  getAccount: (name: string) => AccountKeys | undefined;
}> = require("azurite/dist/src/common/AccountDataStore.js");
const serverBase: AzuriteClass<
  Record<"start" | "close", (this: unknown) => Promise<void>>
> = require("azurite/dist/src/common/ServerBase.js");

let accounts: ReadonlyMap<string, AccountKeys> = new Map();

function report(message: AzuriteReport): void {
  process.send?.(message);
}

function takeAccounts(message: unknown): void {
  const list = accountListSchema.safeParse(message);
  if (!list.success) return;
  accounts = new Map(
    list.data.accounts.map(({ name, key }) => [name, { name, key1: Buffer.from(key, "base64") }]),
  );
  report({ kind: "accounts-taken", revision: list.data.revision });
}

/** The method, followed by an action when it has succeeded on all services. */
function thenAfterAll(method: (this: unknown) => Promise<void>, action: () => void) {
  let doneCount = 0;
  return async function callAndCount(this: unknown): Promise<void> {
    await method.call(this);
    doneCount++;
    if (doneCount === serviceCount) action();
  };
}

accountStore.default.prototype.getAccount = (name) => accounts.get(name);
const { prototype } = serverBase.default;
prototype.start = thenAfterAll(prototype.start, () => report({ kind: "ready" }));
// All is saved then; a client's open connection must not keep the process.
prototype.close = thenAfterAll(prototype.close, () => setImmediate(() => process.exit(0)));
process.on("message", takeAccounts);
// A parent that was killed leaves no Azurite behind: its SIGTERM handler saves and ends.
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
// Listening for messages would keep the process alive after its servers have closed.
process.channel?.unref();
require("azurite/dist/src/azurite.js");
