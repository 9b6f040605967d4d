import { randomBytes } from "node:crypto";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { ALL_COMMANDS } from "#cli/commands/all-commands.ts";
import { runCommandLine } from "#cli/command-line.ts";
import { openStore, openVault, startCodec } from "#cli/context.ts";
import type { Terminal } from "#cli/terminal.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import {
  commitVmPoint,
  createRepository,
  type RepositorySecret,
  type VmPoint,
} from "#core/repository/index.ts";
import { backupJob } from "../worker-agent/agent-fixture.ts";
import { TestDisk, backUp, signal } from "../core/repository/fixtures.ts";

const MIB = 1024 * 1024;
export const password = "correct horse";
/** Crosses the border between two L2 tables of qcow2 (512 MiB) and ends inside a cluster. */
export const largeDiskBytes = 513 * MIB + 512 * 9;

export interface RepositoryFolder extends AsyncDisposable {
  readonly path: string;
  readonly directory: string;
  readonly passwordFile: string;
  /** Content of the disks `disk-os` and `disk-data` of point `p2`. */
  readonly contents: { readonly os: Buffer; readonly data: Buffer };
}

/** VM `vm-1` with the points `p1` (one disk) and `p2` (two disks) in a folder. */
export async function newRepositoryFolder(
  encryption: RepositorySecret = { kind: "password", password },
): Promise<RepositoryFolder> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-cli-"));
  const path = join(directory, "backups");
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, `${password}\n`);
  const repository = await createRepository(
    new FolderStore(path),
    { encryption, random: randomBytes, now: new Date("2026-01-02T03:04:05Z"), scryptLogN: 10 },
    signal,
  );
  const os = new TestDisk(3 * MIB + 512);
  os.write(0, randomBytes(MIB));
  os.write((3 * MIB) / 512, randomBytes(512));
  const data = new TestDisk(largeDiskBytes);
  data.write(16, randomBytes(5 * 512));
  data.write((512 * MIB) / 512 - 3, randomBytes(6 * 512));
  data.write(largeDiskBytes / 512 - 1, randomBytes(512));
  const limits = { maxReadBytes: MIB, windowBytes: 4 * MIB, packBytes: 4 * MIB };
  const random = (byteCount: number): Uint8Array => randomBytes(byteCount);
  const options = { random, limits, blockBytes: 64 * 1024 };
  const first = await backUp(repository, os, "p1", os.full(), { ...options, diskId: "disk-os" });
  os.write(8, randomBytes(512));
  const second = await backUp(repository, os, "p2", os.full(), { ...options, diskId: "disk-os" });
  const third = await backUp(repository, data, "p2", data.full(), {
    ...options,
    diskId: "disk-data",
    blockBytes: 256 * 1024,
  });
  const osDisk = { lun: "os", sizeBytes: os.bytes.length } as const;
  const dataDisk = { lun: 3, sizeBytes: data.bytes.length, diskPoint: third.reference };
  const points = [
    { pointId: "p1", disks: [{ ...osDisk, diskPoint: first.reference }] },
    { pointId: "p2", disks: [{ ...osDisk, diskPoint: second.reference }, dataDisk] },
  ];
  const vm = JSON.parse(JSON.stringify({ ...backupJob().vm, name: "web-1" })) as VmPoint["vm"];
  for (const [day, { pointId, disks }] of points.entries()) {
    const takenAt = new Date(Date.UTC(2026, 1, day + 1));
    const common = { vmId: "vm-1", vm, random, now: () => takenAt };
    await commitVmPoint(repository, { ...common, pointId, takenAt, disks }, signal);
  }
  return {
    path,
    directory,
    passwordFile,
    contents: { os: os.bytes, data: data.bytes },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Copies a repository, so that a test can spoil it. */
export async function copyOf(folder: RepositoryFolder, name: string): Promise<string> {
  const path = join(folder.directory, name);
  await cp(folder.path, path, { recursive: true });
  return path;
}

export interface Ended {
  readonly exitCode: number;
  readonly output: string;
  readonly errors: string;
  readonly bytes: Buffer;
}

export interface RunOptions {
  readonly environment?: Terminal["environment"];
  readonly askSecret?: Terminal["askSecret"];
  readonly directory?: string;
  readonly signal?: AbortSignal;
  readonly wrapStore?: (store: BlobStore) => BlobStore;
}

/** Runs the command line in this process. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const lines: string[] = [];
  const errors: string[] = [];
  const bytes: Buffer[] = [];
  const { askSecret, wrapStore = (store) => store } = options;
  const terminal: Terminal = {
    environment: options.environment ?? {},
    directory: options.directory ?? tmpdir(),
    print: (line) => void lines.push(line),
    complain: (line) => void errors.push(line),
    writeBytes: async (part) => void bytes.push(Buffer.from(part)),
    ...(askSecret !== undefined && { askSecret }),
  };
  const exitCode = await runCommandLine(args, {
    commands: ALL_COMMANDS,
    terminal,
    openStore: (location, environment) => wrapStore(openStore(location, environment)),
    openVault,
    startCodec,
    signal: options.signal ?? signal,
  });
  return {
    exitCode,
    output: lines.join("\n"),
    errors: errors.join("\n"),
    bytes: Buffer.concat(bytes),
  };
}
