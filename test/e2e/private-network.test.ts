/**
 * The private network, proven: the app and every worker run in network namespaces without a default
 * route. A complete backup and restore take no other way; whatever single piece of a region is taken away,
 * the doctor names it and nothing else, and with it back everything works again. Needs root and iproute2.
 *
 * The pieces are broken one after the other on one stack; those that silence workers or the control
 * plane's way to them are in `test/scale/silent-network.test.ts`; a network that breaks under a backup is in
 * `test/scale/network-breaks.test.ts`.
 */
import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { resourceManagerHost, tenantHost } from "#local/stack/azure-names.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import {
  breakAndMend,
  breakTimeoutMs,
  expectHealthy,
  expectNamed,
  networkSettings,
  region,
} from "./network-doctor.ts";
import { diskAccessPiece, findPiece, seenPieces, takeDiskAccessAway } from "./removable-pieces.ts";
import { backUp, makeImage, mib, restore, startTestStack, type TestStack } from "./test-stack.ts";

const run = promisify(execFile);
const stackTimeoutMs = 180_000;
const backupTimeoutMs = 300_000;

let running: TestStack;
let vm: VmRow;
let image: string;

beforeAll(async () => {
  running = await startTestStack(networkSettings, "namespaces");
  image = await makeImage(join(running.directory, "os.img"), 48 * mib, [
    { offsetBytes: 0, lengthBytes: 3 * mib },
    { offsetBytes: 40 * mib, lengthBytes: mib },
  ]);
  vm = await running.stack.estate.createVm({
    name: "private",
    region,
    osDisk: image,
    dataDisks: [],
    tags: {},
  });
}, stackTimeoutMs);

afterAll(async () => {
  await running?.stop();
}, stackTimeoutMs);

afterEach(() => running.checkEstate());

test(
  "a backup and a restore take no way but the private endpoints",
  { timeout: backupTimeoutMs },
  async () => {
    const point = await backUp(running, vm);
    const restored = await restore(running, point, "private-again");
    const out = join(running.directory, "restored.img");
    await running.stack.estate.exportDisk({ disk: restored.disks[0]?.name ?? "", out });
    execFileSync("cmp", [image, out]);
    const network = running.stack.privateNetwork;
    const counted = [...((await network?.readCounters()) ?? [])];
    expect(counted.length).toBeGreaterThan(1);
    expect(counted.filter(([, each]) => each.withoutRoute + each.withoutRoute6 > 0)).toEqual([]);
    // The app manages Azure and asks for the keys of its tokens; it moves no data over public addresses.
    const asked = new Set(network?.publicConnections().keys());
    expect(asked).toEqual(new Set([resourceManagerHost, tenantHost]));
  },
);

test.each(seenPieces)(
  "without $name the doctor and its session name exactly that",
  { timeout: breakTimeoutMs },
  (piece) => breakAndMend(running, piece),
);

test(
  "a disk access that was deleted is named, and the next backup makes it again",
  { timeout: backupTimeoutMs },
  async () => {
    const id = findPiece(running.stack, diskAccessPiece);
    await takeDiskAccessAway(running.stack, id);
    await expectNamed(running, id);
    expect((await backUp(running, vm)).state).toBe("available");
    expect(findPiece(running.stack, diskAccessPiece)).toBe(id);
    await expectHealthy(running);
  },
);

const networkVersion = "2024-05-01";

/** A machine in this network that also has a way to the internet; runs a HEAD and answers its status. */
async function headFrom(networkId: string, address: string, url: string): Promise<string> {
  const network = running.stack.privateNetwork;
  if (network === undefined) throw new Error("the stack has no network namespaces");
  const prefix = await network.enter(address, { address, networkId, hasInternet: true });
  const source = `
    const answer = await fetch(process.argv[1], { method: "HEAD" });
    console.log(answer.status, answer.headers.get("x-ms-error-code") ?? "served");
  `;
  const [command = "", ...words] = prefix;
  const program = [process.execPath, "--input-type=module", "--eval", source, "--", url];
  const env = {
    ...process.env,
    NODE_EXTRA_CA_CERTS: join(running.stack.stateDirectory, "tls", "ca.pem"),
  };
  try {
    return (await run(command, [...words, ...program], { env })).stdout.trim();
  } finally {
    await network.leave(address);
  }
}

test(
  "a SAS that was stolen from a worker opens nothing elsewhere",
  { timeout: breakTimeoutMs },
  async () => {
    const { resources } = running.stack.cloud.resourceManager;
    const { arm } = running.stack.cloud;
    const [snapshot] = resources.list("Microsoft.Compute/snapshots");
    const path = snapshot?.id ?? "";
    const grant = { path, apiVersion: "2026-03-02" };
    const granted = await arm.request({
      ...grant,
      method: "POST",
      path: `${path}/beginGetAccess`,
      body: { access: "Read", durationInSeconds: 600 },
    });
    const { accessSAS } = z.object({ accessSAS: z.string() }).parse(granted);
    const elsewhere = `${running.stack.deployment.workloadResourceGroupId}/providers/Microsoft.Network/virtualNetworks/elsewhere`;
    await arm.request({
      method: "PUT",
      path: elsewhere,
      apiVersion: networkVersion,
      body: {
        location: "westeurope",
        properties: { addressSpace: { addressPrefixes: ["10.77.0.0/24"] } },
      },
    });
    const { workerResourceGroupId } = running.stack.deployment;
    const own = `${workerResourceGroupId}/providers/Microsoft.Network/virtualNetworks/holdfast-${region}`;
    expect(await headFrom(own, "10.213.0.251", accessSAS)).toBe("200 served");
    expect(await headFrom(elsewhere, "10.77.0.5", accessSAS)).toBe("403 AuthorizationFailure");
    await arm.request({ ...grant, method: "POST", path: `${path}/endGetAccess` });
    expect(await headFrom(own, "10.213.0.251", accessSAS)).toBe("403 AuthenticationFailed");
  },
);
