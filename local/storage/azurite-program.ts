/**
 * Azurite with accounts that come and go: the program that `azurite-process.ts` starts.
 *
 * Azurite knows the accounts that its environment names, and looks again once a minute. A storage
 * account of the simulated Azure is made by a request and used at once, so this program answers the
 * question "which account?" itself, from the list that its parent sends. Azurite's own well-known
 * account does not exist here. What Azurite's blob service lacks stands in `front/`. Everything else
 * is Azurite as it is, with its own command line.
 */
import { createRequire } from "node:module";
import {
  azuriteOrderSchema,
  openNetwork,
  type Account,
  type AzuriteReport,
  type AzuriteSettings,
} from "./azurite-messages.ts";
import type { BlobHandler, MetadataStore } from "./front/azurite-types.ts";
import { installFront } from "./front/blob-front.ts";
import { accessGateOf } from "./front/access-gate.ts";
import { gateOf, type StorageService } from "./front/network-gate.ts";
import { RequestGate } from "./front/request-gate.ts";
import "./without-telemetry.ts";

interface AccountKeys {
  readonly name: string;
  readonly key1: Buffer;
}

/** The parts of Azurite's classes that are replaced; its package carries no types. */
interface AzuriteClass<Prototype> {
  readonly default: { readonly prototype: Prototype };
}

/** Azurite's database, which keeps everything in memory and now and then writes all of it to a file. */
interface LokiClass {
  readonly prototype: {
    autosaveEnable: (this: { autosaveInterval: number }, ...rest: unknown[]) => void;
  };
}

const require = createRequire(import.meta.url);
const accountStore: AzuriteClass<{
  getAccount: (name: string) => AccountKeys | undefined;
}> = require("azurite/dist/src/common/AccountDataStore.js");
const serverBase: AzuriteClass<
  Record<"start" | "close", (this: unknown) => Promise<void>>
> = require("azurite/dist/src/common/ServerBase.js");

const metadataStore: AzuriteClass<MetadataStore> = require("azurite/dist/src/blob/persistence/LokiBlobMetadataStore.js");
const blobHandler: AzuriteClass<BlobHandler> = require("azurite/dist/src/blob/handlers/BlobHandler.js");
const fromAzurite = createRequire(require.resolve("azurite/package.json"));
const { prototype: database }: LokiClass = fromAzurite("lokijs");
type ListenerFactory = AzuriteClass<{
  createRequestListener: (this: unknown) => Parameters<RequestGate["before"]>[0];
}>;
const listenerFactories: Record<StorageService, ListenerFactory> = {
  blob: require("azurite/dist/src/blob/BlobRequestListenerFactory.js"),
  queue: require("azurite/dist/src/queue/QueueRequestListenerFactory.js"),
  table: require("azurite/dist/src/table/TableRequestListenerFactory.js"),
};
const services = ["blob", "queue", "table"] as const;

const {
  BatchSerialization: batches,
}: {
  readonly BatchSerialization: {
    readonly prototype: { extractPath: (uri: string) => RegExpMatchArray | null };
  };
} = require("azurite/dist/src/table/batch/BatchSerialization.js");

const autosaveIntervalMs = 60_000;
const gate = new RequestGate();
const unprotected = { versioning: false, immutableStorage: false, immutableContainers: [] };
let accounts: ReadonlyMap<string, Account & AccountKeys> = new Map();
let settings: Omit<AzuriteSettings, "accounts"> = {
  network: openNetwork,
  clockAheadMs: 0,
  rehydrationSeconds: { standard: 0, high: 0 },
};

function report(message: AzuriteReport): void {
  process.send?.(message);
}

function takeOrder(message: unknown): void {
  const order = azuriteOrderSchema.safeParse(message).data;
  if (order === undefined) return;
  if (order.kind === "busy") gate.makeBusy(order.account, order.requestCount);
  else takeSettings(order.settings);
  report({ kind: "taken", revision: order.revision });
}

function takeSettings({ accounts: list, ...others }: AzuriteSettings): void {
  settings = others;
  accounts = new Map(
    list.map((account) => [account.name, { ...account, key1: Buffer.from(account.key, "base64") }]),
  );
}

/** The method, followed by an action when it has succeeded on all services. */
function thenAfterAll(method: (this: unknown) => Promise<void>, action: () => void) {
  let doneCount = 0;
  return async function callAndCount(this: unknown): Promise<void> {
    await method.call(this);
    doneCount++;
    if (doneCount === services.length) action();
  };
}

// Azurite writes every 5 s, and at its end, which is all that anybody here needs.
const { autosaveEnable } = database;
database.autosaveEnable = function saveLessOften(...rest) {
  this.autosaveInterval = autosaveIntervalMs;
  autosaveEnable.apply(this, rest);
};
accountStore.default.prototype.getAccount = (name) => accounts.get(name);
const { prototype } = serverBase.default;
prototype.start = thenAfterAll(prototype.start, () => report({ kind: "ready" }));
// All is saved then; a client's open connection must not keep the process.
prototype.close = thenAfterAll(prototype.close, () => setImmediate(() => process.exit(0)));
for (const service of services) {
  const { prototype: listeners } = listenerFactories[service].default;
  const { createRequestListener } = listeners;
  const byNetwork = gateOf(service, () => settings.network);
  const byRoles = accessGateOf(service, () => settings.access);
  listeners.createRequestListener = function createGatedListener() {
    const listener = createRequestListener.call(this);
    const allowed = byRoles(service === "blob" ? gate.before(listener) : listener);
    return byNetwork(allowed);
  };
}
// Azurite finds the table of an operation in a transaction behind the account's name in the path.
const { extractPath } = batches.prototype;
batches.prototype.extractPath = function extractTable(uri) {
  const named = /^https:\/\/[a-z0-9]+\.table\.core\.windows\.net(?::\d+)?\/(\w+)/i.exec(uri);
  return named ?? extractPath.call(this, uri);
};
installFront(
  {
    protectionOf: (account) => accounts.get(account)?.protection ?? unprotected,
    now: () => Date.now() + settings.clockAheadMs,
    rehydrationSeconds: (priority) =>
      priority === "High" ? settings.rehydrationSeconds.high : settings.rehydrationSeconds.standard,
  },
  { store: metadataStore.default.prototype, blobHandler: blobHandler.default.prototype },
);
process.on("message", takeOrder);
// A parent that was killed leaves no Azurite behind: its SIGTERM handler saves and ends.
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
// Listening for messages would keep the process alive after its servers have closed.
process.channel?.unref();
require("azurite/dist/src/azurite.js");
