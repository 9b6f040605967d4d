/**
 * The host of virtual machines: runs what their guests would run.
 *
 * A *guest* is the inside of one VM that was made from an image: a directory in place of its OS disk,
 * a clean environment, and the processes that scripts started in it. A *marker* in the environment
 * (`<host>/<vm>`) tells which guest a process belongs to; it survives setsid and a restart of the
 * simulator. The host keeps no list of processes: what carries the marker belongs to the guest.
 * Stopping a guest ends all of its processes; its directory stays until the VM is deleted.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import {
  createGuestDirectory,
  fileExists,
  guestDirectory,
  guestEnvironment,
  guestMarkerVariable,
  type GuestDirectory,
} from "./guest-directory.ts";
import {
  endProcesses,
  findMarkedProcesses,
  sendSignal,
  terminationGraceMs,
  type GuestProcess,
} from "./guest-processes.ts";
import { adoptScript, startScript, type ScriptParameter, type ScriptRun } from "./script-run.ts";

export interface VmHostOptions {
  /** Created when missing; belongs to one host at a time. */
  readonly stateDirectory: string;
  /** PEM file with the authority that signed every certificate of the local Azure. */
  readonly trustedCertificatesFile: string;
  /** Default: 2 s. */
  readonly terminationGraceMs?: number;
  /** Networks of guests; without them guests share the machine's. */
  readonly networks?: GuestNetworks;
}

export interface GuestNetworks {
  /** Words before a command line that run it in the guest's network. Safe to repeat. */
  enter(vmId: string, metadataEndpoint: string | undefined): Promise<readonly string[]>;
  /** The guest's network may go: nothing runs in it any more. Safe to repeat. */
  leave(vmId: string): Promise<void>;
}

export interface RunScriptRequest {
  readonly vmId: string;
  /** Unique within the VM: names the run's folder. A new run under an old id replaces its files. */
  readonly runId: string;
  readonly script: string;
  readonly parameters?: readonly ScriptParameter[];
  /** Reach the script like the others and are written nowhere. */
  readonly protectedParameters?: readonly ScriptParameter[];
  readonly timeoutSeconds?: number | undefined;
  readonly metadataEndpoint?: string | undefined;
}

export async function openVmHost(options: VmHostOptions): Promise<VmHost> {
  await mkdir(options.stateDirectory, { recursive: true });
  const file = join(options.stateDirectory, "host-id");
  if (!(await fileExists(file))) await writeFile(file, randomUUID());
  return new VmHost(options, (await readFile(file, "utf8")).trim());
}

export class VmHost {
  readonly #options: VmHostOptions;
  readonly #hostId: string;
  /** Runs that have not ended, for the fallback where environments of processes cannot be read. */
  readonly #runs = new Map<string, Set<ScriptRun>>();
  /** One change at a time per guest: a script must not start while its guest is being ended. */
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Guests whose VM was deleted: nothing starts in them any more (ids are never used again). */
  readonly #removed = new Set<string>();

  constructor(options: VmHostOptions, hostId: string) {
    this.#options = options;
    this.#hostId = hostId;
  }

  directoryOf(vmId: string): GuestDirectory {
    return guestDirectory(join(this.#options.stateDirectory, "guests", safeName(vmId)));
  }

  /** Makes the guest's directory; safe to repeat. */
  async create(vmId: string): Promise<GuestDirectory> {
    const directory = this.directoryOf(vmId);
    await createGuestDirectory(directory);
    return directory;
  }

  /** Starts a script in the guest and resolves when its process exists. Throws when the VM is gone. */
  async startScript(request: RunScriptRequest): Promise<ScriptRun> {
    return this.#inTurn(request.vmId, () => this.#startScript(request));
  }

  async #startScript(request: RunScriptRequest): Promise<ScriptRun> {
    if (this.#removed.has(request.vmId)) throw new Error(`The guest ${request.vmId} is gone.`);
    const directory = await this.create(request.vmId);
    const { networks } = this.#options;
    const commandPrefix = await networks?.enter(request.vmId, request.metadataEndpoint);
    const run = await startScript({
      commandPrefix: commandPrefix ?? [],
      folder: join(directory.runs, safeName(request.runId)),
      script: request.script,
      parameters: request.parameters ?? [],
      protectedParameters: request.protectedParameters ?? [],
      timeoutSeconds: request.timeoutSeconds,
      environment: guestEnvironment({
        marker: this.#markerOf(request.vmId),
        directory,
        trustedCertificatesFile: this.#options.trustedCertificatesFile,
        // In a network of its own the guest finds the metadata service where it is in Azure.
        metadataEndpoint: networks === undefined ? request.metadataEndpoint : undefined,
      }),
    });
    this.#watch(request.vmId, run);
    return run;
  }

  /** The run that an earlier life of the simulator started, or undefined when it did not. */
  async adoptScript(vmId: string, runId: string): Promise<ScriptRun | undefined> {
    const folder = join(this.directoryOf(vmId).runs, safeName(runId));
    const run = await adoptScript(folder, async (processId) => {
      const processes = await this.listProcesses(vmId);
      return processes.some((found) => found.processId === processId);
    });
    if (run !== undefined) this.#watch(vmId, run);
    return run;
  }

  /** Processes of the guest, by id. Empty where the platform cannot tell (all but Linux). */
  async listProcesses(vmId: string): Promise<GuestProcess[]> {
    return this.#findProcesses(vmId);
  }

  /**
   * Kills the processes of the guest whose command line contains `text`, for tests of what a crash in
   * a guest does. @returns how many were killed
   */
  async killProcesses(vmId: string, text: string): Promise<number> {
    const processes = await this.listProcesses(vmId);
    const chosen = processes.filter(({ commandLine }) => commandLine.includes(text));
    for (const { processId } of chosen) sendSignal(processId, "SIGKILL");
    return chosen.length;
  }

  /** Ends everything that the guest started; no error when nothing runs. */
  async stop(vmId: string): Promise<void> {
    await this.#inTurn(vmId, () => this.#end(vmId, this.#graceMs()));
  }

  /** What the hypervisor does to a Spot VM: no grace. */
  async evict(vmId: string): Promise<void> {
    await this.#inTurn(vmId, () => this.#end(vmId, 0));
  }

  /** Stops the guest and removes its directory; safe to repeat. */
  async remove(vmId: string): Promise<void> {
    await this.#inTurn(vmId, async () => {
      this.#removed.add(vmId);
      const runs = [...(this.#runs.get(vmId) ?? [])];
      await this.#end(vmId, this.#graceMs());
      // A run notes its end in the guest's directory: removed before, that directory would not be empty.
      await Promise.allSettled(runs.map((run) => run.finished));
      await this.#options.networks?.leave(vmId);
      await rm(this.directoryOf(vmId).path, { recursive: true, force: true });
    });
  }

  /** Ends processes that an earlier life of the simulator left of guests that should not run. */
  async adopt(runningVmIds: readonly string[]): Promise<void> {
    const kept = new Set(runningVmIds.map((vmId) => this.#markerOf(vmId)));
    const isOrphan = (marker: string) => marker.startsWith(`${this.#hostId}/`) && !kept.has(marker);
    await endProcesses(() => findMarkedProcesses(isOrphan, guestMarkerVariable), this.#graceMs());
  }

  /** Ends the processes of all guests, as when the machine goes down. */
  async stopAll(): Promise<void> {
    for (const runs of this.#runs.values()) for (const run of runs) run.cancel();
    await this.adopt([]);
  }

  async #end(vmId: string, graceMs: number): Promise<void> {
    for (const run of this.#runs.get(vmId) ?? []) run.cancel();
    await endProcesses(() => this.#findProcesses(vmId), graceMs);
  }

  async #inTurn<Result>(vmId: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(vmId) ?? Promise.resolve();
    const turn = before.then(work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(vmId, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(vmId) === settled) this.#turns.delete(vmId);
    }
  }

  #findProcesses(vmId: string): GuestProcess[] {
    const marker = this.#markerOf(vmId);
    return findMarkedProcesses((found) => found === marker, guestMarkerVariable);
  }

  #watch(vmId: string, run: ScriptRun): void {
    const runs = this.#runs.get(vmId) ?? new Set();
    this.#runs.set(vmId, runs.add(run));
    const forget = () => {
      runs.delete(run);
      if (runs.size === 0 && this.#runs.get(vmId) === runs) this.#runs.delete(vmId);
    };
    run.finished.then(forget, forget);
  }

  #markerOf(vmId: string): string {
    return `${this.#hostId}/${vmId}`;
  }

  #graceMs(): number {
    return this.#options.terminationGraceMs ?? terminationGraceMs;
  }
}

function safeName(name: string): string {
  return name.replaceAll(/[^\w.-]/g, "_");
}
