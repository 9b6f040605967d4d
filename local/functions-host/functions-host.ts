/**
 * The local Functions host: loads a compiled app and feeds it by http, timers, queues and durable
 * messages. All state that must survive is in the app's own host storage, so that a host that was
 * killed at any moment is continued by the next one.
 */
import { createHash, randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { assert } from "#core/lib/assert.ts";
import { type Clock, systemClock } from "./clock.ts";
import { AzureTaskStore } from "./durable/azure-storage/azure-task-store.ts";
import { HubClient } from "./durable/hub-client.ts";
import { HubPumps } from "./durable/hub-pumps.ts";
import { ManagementApi } from "./durable/management-api.ts";
import { durableClientBinding, rpcPath } from "./durable/management-urls.ts";
import { TaskHub } from "./durable/task-hub.ts";
import { WorkerFunctionCalls } from "./durable/worker-function-calls.ts";
import { functionTimeoutMsOf, type HostJson, readHostJson } from "./host-json.ts";
import { type HostKeys, readHostKeys } from "./host-keys.ts";
import { HttpFront } from "./http-front.ts";
import { HttpListener } from "./http-listener.ts";
import { createJsonLog, type Log } from "./log.ts";
import { AppSettings } from "./settings.ts";
import { hostStorageName, StorageConnections } from "./storage/storage-connections.ts";
import { assertBindingsSupported, FunctionRunner } from "./triggers/function-runner.ts";
import { openQueue, type QueueBindingContext, QueueOutput } from "./triggers/queue-output.ts";
import { queueLeaseMs, QueueTrigger } from "./triggers/queue-trigger.ts";
import { TimerStatusStore } from "./triggers/timer-status.ts";
import { TimerTrigger } from "./triggers/timer-trigger.ts";
import { FunctionWorker } from "./worker/function-worker.ts";

export interface FunctionsHostOptions {
  /** Holds `package.json` (its `main` is loaded) and `host.json`. */
  readonly appDirectory: string;
  /** 0 = any free port; the same for `rpcPort`, which only the app itself uses. */
  readonly port: number;
  readonly rpcPort?: number;
  /**
   * App settings; default `process.env`. The app itself reads `process.env` in any case, where the
   * host sets what Azure sets (WEBSITE_HOSTNAME, ...).
   */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly clock?: Clock;
  /** Takes log lines; default standard output. */
  readonly writeLog?: (line: string) => void;
  /** A function ran into `functionTimeout`: the process is expected to end. */
  readonly onFatal?: (message: string) => void;
}

export interface RunningHost extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly keys: HostKeys;
  readonly functionNames: readonly string[];
  /** Ends gracefully; what still runs after `graceMs` is given back to its queue. */
  stop(graceMs?: number): Promise<void>;
}

const defaultGraceMs = 10_000;
/** How often an idle host looks for durable messages that another process sent. */
const longestHubIdleMs = 1000;

interface Foundation {
  readonly hostJson: HostJson;
  readonly settings: AppSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly connections: StorageConnections;
  readonly worker: FunctionWorker;
  readonly hostId: string;
}

/** Starts a host; when this returns, everything is indexed and listening. */
export async function startFunctionsHost(options: FunctionsHostOptions): Promise<RunningHost> {
  await using opening = new AsyncDisposableStack();
  const { hostJson, unknownKeys } = await readHostJson(options.appDirectory);
  const clock = options.clock ?? systemClock;
  const write = options.writeLog ?? ((line: string) => void process.stdout.write(line));
  const thresholds = new Map(Object.entries(hostJson.logging.logLevel));
  const log = createJsonLog(write, thresholds, () => clock.now());
  for (const key of unknownKeys) {
    log("warning", "Host.Configuration", `host.json: ${key} is not known here and has no effect`);
  }
  const listener = opening.use(new HttpListener(log));
  await listener.listen(options.port);
  const rpcListener = opening.use(new HttpListener(log));
  await rpcListener.listen(options.rpcPort ?? 0);
  provideAzureSettings(options.appDirectory, listener.port);
  const settings = new AppSettings(options.environment ?? process.env);
  const worker = new FunctionWorker({
    log,
    clock,
    functionTimeoutMs: functionTimeoutMsOf(hostJson),
    onTimeout: (message) => {
      log("critical", "Host", `${message}. The worker process ends now.`);
      options.onFatal?.(message);
    },
  });
  await worker.start(options.appDirectory);
  assertBindingsSupported(worker.functions);
  const connections = new StorageConnections(settings);
  const hostId = hostIdOf(settings, options.appDirectory);
  const foundation = { hostJson, settings, clock, log, connections, worker, hostId };
  const { front, keys, services } = await startServices(foundation, listener, rpcListener);
  listener.serve(front.handlePublic);
  rpcListener.serve(front.handleRpc);
  const resources = opening.move();
  let stopped: Promise<void> | undefined;
  const stop = async (graceMs = defaultGraceMs): Promise<void> => {
    stopped ??= (async () => {
      log("information", "Host", "Stopping: no new work is taken.");
      await Promise.all(services.map(async (service) => service.stop(graceMs)));
      await worker.stop();
      await resources.disposeAsync();
      log("information", "Host", "Stopped.");
    })();
    return stopped;
  };
  return {
    url: listener.origin,
    keys,
    functionNames: worker.functions.map(({ name }) => name),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Service {
  stop(graceMs: number): Promise<void>;
}

async function startServices(
  foundation: Foundation,
  listener: HttpListener,
  rpcListener: HttpListener,
): Promise<{ front: HttpFront; keys: HostKeys; services: readonly Service[] }> {
  const { hostJson, worker, connections, hostId, settings } = foundation;
  const keys = await readHostKeys(connections.get(hostStorageName), hostId);
  const endpoint = {
    hubName: hubNameOf(foundation),
    connectionName: hubConnectionName(hostJson),
    origin: listener.origin,
    rpcBaseUrl: `${rpcListener.origin}${rpcPath}/`,
    systemKey: keys.durable,
  };
  const { client, pumps } = await openHub(foundation, endpoint.hubName);
  const queueContext: QueueBindingContext = {
    settings,
    connections,
    encoding: hostJson.extensions.queues.messageEncoding,
  };
  const queueTriggers: QueueTrigger[] = [];
  const output = new QueueOutput(queueContext, (queueUrl) => {
    for (const each of queueTriggers) each.notifySent(queueUrl);
  });
  const runner = new FunctionRunner(worker, durableClientBinding(endpoint), output);
  queueTriggers.push(...createQueueTriggers(foundation, queueContext, runner));
  const timers = await createTimers(foundation, runner);
  const front = new HttpFront({
    functions: worker.functions,
    routePrefix: hostJson.extensions.http.routePrefix,
    keys,
    runner,
    management: new ManagementApi(client, endpoint),
  });
  pumps.start();
  for (const trigger of [...queueTriggers, ...timers]) trigger.start();
  return { front, keys, services: [...timers, ...queueTriggers, pumps] };
}

async function openHub(
  { clock, connections, hostJson, log, settings, worker }: Foundation,
  hubName: string,
): Promise<{ client: HubClient; pumps: HubPumps }> {
  const { durableTask } = hostJson.extensions;
  const { controlQueueVisibilityTimeout, maxQueuePollingInterval } = durableTask.storageProvider;
  const leaseMs = leaseMsOf(settings) ?? controlQueueVisibilityTimeout;
  const connection = connections.get(hubConnectionName(hostJson));
  const store = new AzureTaskStore({ connection, hubName, leaseMs, clock, log });
  await store.initialize();
  const pumps: HubPumps = new HubPumps({
    hub: () => hub,
    store,
    maxActivities: durableTask.maxConcurrentActivityFunctions,
    maxOrchestrations: durableTask.maxConcurrentOrchestratorFunctions,
    longestIdleMs: Math.min(maxQueuePollingInterval ?? longestHubIdleMs, longestHubIdleMs),
    clock,
    log,
  });
  const hub = new TaskHub({
    store,
    calls: new WorkerFunctionCalls(worker),
    clock,
    newId: () => randomUUID().replaceAll("-", ""),
    log,
    validatesReplay: settings.get("HOLDFAST_LOCAL_VALIDATE_REPLAY") === "1",
    onSent: (queue, visibleAt) => pumps.notifySent(queue, visibleAt),
  });
  await hub.recover();
  return { client: new HubClient(hub), pumps };
}

function createQueueTriggers(
  { clock, hostJson, log, settings, worker }: Foundation,
  context: QueueBindingContext,
  runner: FunctionRunner,
): QueueTrigger[] {
  return worker.functions
    .filter(({ trigger }) => trigger.type.toLowerCase() === "queuetrigger")
    .map((target) => {
      const queue = openQueue(target.trigger, context);
      const poisonBinding = { ...target.trigger, queueName: `${queue.name}-poison` };
      const poisonQueue = openQueue(poisonBinding, context);
      const queueOptions = hostJson.extensions.queues;
      const leaseMs = leaseMsOf(settings) ?? queueLeaseMs;
      const common = { queueOptions, leaseMs, runner, clock, log };
      return new QueueTrigger({ target, queue, poisonQueue, ...common });
    });
}

async function createTimers(
  { clock, connections, hostId, log, settings, worker }: Foundation,
  runner: FunctionRunner,
): Promise<TimerTrigger[]> {
  const statuses = new TimerStatusStore(connections.get(hostStorageName), hostId);
  await statuses.initialize();
  return worker.functions
    .filter(({ trigger }) => trigger.type.toLowerCase() === "timertrigger")
    .map((target) => new TimerTrigger({ target, settings, statuses, runner, clock, log }));
}

/** Tests shorten the lease of in-flight work, so that what a killed host held comes back soon. */
function leaseMsOf(settings: AppSettings): number | undefined {
  const text = settings.get("HOLDFAST_LOCAL_DURABLE_VISIBILITY_SECONDS");
  if (text === undefined) return undefined;
  const leaseMs = Number(text) * 1000;
  assert(leaseMs >= 1000, "a message that was taken must be invisible for at least a second");
  return leaseMs;
}

function hubNameOf({ hostJson, settings }: Foundation): string {
  const hubName = settings.expand(hostJson.extensions.durableTask.hubName);
  assert(
    /^[a-z][a-z0-9]{2,44}$/i.test(hubName),
    `hubName '${hubName}' must be 3 to 45 letters and digits, beginning with a letter`,
  );
  return hubName;
}

function hubConnectionName(hostJson: HostJson): string {
  const { connectionName, connectionStringName } = hostJson.extensions.durableTask.storageProvider;
  return connectionName ?? connectionStringName ?? hostStorageName;
}

/** Stable over restarts; names the host's blobs. Taken from the settings as in Azure. */
function hostIdOf(settings: AppSettings, appDirectory: string): string {
  const given = settings.get("AzureFunctionsWebHost__hostId") ?? settings.get("WEBSITE_SITE_NAME");
  if (given !== undefined) return given.toLowerCase().slice(0, 32);
  return createHash("sha256").update(resolve(appDirectory)).digest("hex").slice(0, 32);
}

/**
 * What Azure sets for an app. Without WEBSITE_HOSTNAME the durable library rewrites every
 * management address to port 7071.
 */
function provideAzureSettings(appDirectory: string, port: number): void {
  process.env["WEBSITE_HOSTNAME"] = `127.0.0.1:${port}`;
  process.env["FUNCTIONS_WORKER_RUNTIME"] ??= "node";
  process.env["AZURE_FUNCTIONS_ENVIRONMENT"] ??= "Development";
  process.env["AzureWebJobsScriptRoot"] ??= resolve(appDirectory);
}
