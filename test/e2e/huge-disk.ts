/**
 * A machine with a huge disk that holds a little: incompressible pieces, spread evenly over all of
 * it. Backed up, changed, backed up and restored by the product on the local Azure, while the memory
 * of the worker's agent is watched.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { backUp, diskId, makeImage, mib, restore, type TestStack } from "./test-stack.ts";
import { watchWorkerMemory, type MemoryWatch } from "./worker-memory.ts";

export const gib = 1024 * mib;
/** Azure's largest managed disk, called 32 TiB there. */
export const largestDiskBytes = 32_767 * gib;
/** One block of the repository, so that each piece is a leaf of the map of its own. */
const pieceBytes = 256 * 1024;
const changedEvery = 4;

export interface HugeDisk {
  readonly name: string;
  readonly sizeBytes: number;
  readonly pieceCount: number;
}

/** Highest resident memory of the agent so far, after each step; seconds that each step took. */
export interface HugeDiskRun {
  readonly sizeGib: number;
  readonly dataMib: number;
  readonly fullMib: number;
  readonly incrementalMib: number;
  readonly restoreMib: number;
  readonly fullSeconds: number;
  readonly incrementalSeconds: number;
  readonly restoreSeconds: number;
  /** Stored for the first backup: proof that all of it was moved. */
  readonly storedMib: number;
}

/**
 * Throws when a backup read another number of bytes than there are, or when the restored disk is not
 * the same as the source, piece by piece, or holds anything else.
 */
export async function runHugeDisk(test: TestStack, disk: HugeDisk): Promise<HugeDiskRun> {
  const { stack } = test;
  const vm = await makeHugeVm(test, disk);
  const source = await diskId(test, `${disk.name}-data-0`);
  const { memory, timed } = startMeasuring(test);
  const dataBytes = disk.pieceCount * pieceBytes;

  const first = await timed(() => backUp(test, vm));
  requireSize("the first backup", first.value.disks[1], { kind: "full", readBytes: dataBytes });
  const changed = offsetsOf(disk).filter((_, piece) => piece % changedEvery === 0);
  for (const offset of changed) {
    await stack.cloud.disks.guestWrite(source, offset, randomBytes(pieceBytes));
  }
  const second = await timed(() => backUp(test, vm));
  const readBytes = changed.length * pieceBytes;
  requireSize("the incremental", second.value.disks[1], { kind: "incremental", readBytes });
  const restored = await timed(() => restore(test, second.value, `${disk.name}-restored`));
  await memory.stop();
  await requireSame(test, disk, source);
  return {
    sizeGib: disk.sizeBytes / gib,
    dataMib: dataBytes / mib,
    fullMib: first.peakMib,
    incrementalMib: second.peakMib,
    restoreMib: restored.peakMib,
    fullSeconds: first.seconds,
    incrementalSeconds: second.seconds,
    restoreSeconds: restored.seconds,
    storedMib: Math.round((first.value.disks[1]?.storedBytes ?? 0) / mib),
  };
}

function startMeasuring(test: TestStack) {
  const memory: MemoryWatch = watchWorkerMemory(test);
  const timed = async <Value>(step: () => Promise<Value>) => {
    const startedAt = performance.now();
    const value = await step();
    const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
    return { value, seconds, peakMib: Math.round((await memory.peakBytes()) / mib) };
  };
  return { memory, timed };
}

/** A file of 32 TiB cannot be made everywhere (ext4: 16 TiB): the disk grows, and its guest writes. */
async function makeHugeVm(test: TestStack, disk: HugeDisk): Promise<VmRow> {
  const { stack, directory } = test;
  const piece = [{ offsetBytes: 0, lengthBytes: mib }];
  const os = await makeImage(join(directory, `${disk.name}-os.raw`), 32 * mib, piece);
  const data = await makeImage(join(directory, `${disk.name}-data.raw`), 32 * mib, []);
  const wanted = { name: disk.name, region: "westeurope", osDisk: os, dataDisks: [data], tags: {} };
  await stack.estate.createVm(wanted);
  const id = await diskId(test, `${disk.name}-data-0`);
  await stack.cloud.disks.resizeDisk(id, disk.sizeBytes);
  for (const offset of offsetsOf(disk)) {
    await stack.cloud.disks.guestWrite(id, offset, randomBytes(pieceBytes));
  }
  const vm = (await stack.estate.listVms()).find(({ name }) => name === disk.name);
  if (vm === undefined) throw new Error(`there is no machine ${disk.name}`);
  return vm;
}

/** Evenly over all of the disk, the last one at its end. */
function offsetsOf({ sizeBytes, pieceCount }: HugeDisk): number[] {
  const lastPiece = sizeBytes / pieceBytes - 1;
  return Array.from(
    { length: pieceCount },
    (_, piece) => Math.floor((piece * lastPiece) / (pieceCount - 1)) * pieceBytes,
  );
}

function requireSize(
  what: string,
  disk: { readonly kind: string; readonly readBytes: number } | undefined,
  wanted: { readonly kind: string; readonly readBytes: number },
): void {
  const isWanted = disk?.kind === wanted.kind && disk.readBytes === wanted.readBytes;
  if (isWanted) return;
  const found = `${disk?.kind} of ${disk?.readBytes} bytes`;
  throw new Error(`${what} is ${found}, not ${wanted.kind} of ${wanted.readBytes}`);
}

async function requireSame(test: TestStack, disk: HugeDisk, source: string): Promise<void> {
  const { disks } = test.stack.cloud;
  const target = await diskId(test, `${disk.name}-restored-data-0`);
  for (const offset of offsetsOf(disk)) {
    const left = await disks.guestRead(source, offset, pieceBytes);
    const right = await disks.guestRead(target, offset, pieceBytes);
    if (Buffer.compare(left, right) !== 0) throw new Error(`the restore differs at ${offset}`);
  }
  const allocatedBytes = disks.describeDisk(target)?.allocatedBytes;
  const wantedBytes = disk.pieceCount * pieceBytes;
  if (allocatedBytes === wantedBytes) return;
  throw new Error(`${allocatedBytes} bytes were restored, not ${wantedBytes}`);
}
