/**
 * A private network that breaks under a backup that had found it whole: each session says what it was, and
 * the next one mends it. Needs root and iproute2.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { expectFailure, networkSettings, region, waitForAnyEnd } from "../e2e/network-doctor.ts";
import {
  diskEndpointPiece,
  findPiece,
  hubPeeringPiece,
  repositoryEndpointPiece,
  takeAway,
  type Piece,
} from "../e2e/removable-pieces.ts";
import {
  backUp,
  makeImage,
  mib,
  readDetail,
  startBackup,
  startTestStack,
  type TestStack,
} from "../e2e/test-stack.ts";

const stackTimeoutMs = 180_000;
const testTimeoutMs = 600_000;
const logPollMs = 150;

let running: TestStack;
let vm: VmRow;

beforeAll(async () => {
  running = await startTestStack(networkSettings, "namespaces");
  const osDisk = await makeImage(join(running.directory, "os.img"), 48 * mib, [
    { offsetBytes: 0, lengthBytes: 3 * mib },
  ]);
  const machine = { name: "private", region, osDisk, dataDisks: [], tags: {} };
  vm = await running.stack.estate.createVm(machine);
  await backUp(running, vm);
}, stackTimeoutMs);

afterAll(async () => {
  await running?.stop();
}, stackTimeoutMs);

afterEach(() => running.checkEstate());

/** Breaks a piece when a backup's log says this; expects that its session names the piece. */
async function breakUnderBackup(piece: Piece, when: RegExp): Promise<void> {
  const id = findPiece(running.stack, piece);
  const sessionId = await startBackup(running, vm);
  for (;;) {
    const { state, log } = await readDetail(running, sessionId);
    if (state !== "running") throw new Error(`it ended as ${state} before ${when}`);
    if (log.some(({ message }) => when.test(message))) break;
    await new Promise((resolve) => setTimeout(resolve, logPollMs));
  }
  await takeAway(running.stack, id);
  expectFailure(await waitForAnyEnd(running, sessionId), id);
}

const afterPreparation = /^taking snapshots/;

test(
  "backups whose network breaks under them say what it was, and the next one mends it",
  { timeout: testTimeoutMs },
  async () => {
    // Each begins by mending what the one before it lost.
    await breakUnderBackup(repositoryEndpointPiece, afterPreparation);
    await breakUnderBackup(hubPeeringPiece, afterPreparation);
    const { faults } = running.stack.cloud.dataPlane;
    faults.failNext({ match: isRead, status: 503, code: "ServerBusy", count: 20 });
    await breakUnderBackup(diskEndpointPiece, /has the job/);
    faults.clear();
    expect((await backUp(running, vm)).state).toBe("available");
  },
);

function isRead({ operation }: { readonly operation: string }): boolean {
  return operation === "read";
}
