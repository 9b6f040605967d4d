/**
 * What looks after a repository, by the HTTP API on a whole stack: health checks, healing, retention
 * and garbage collection, archives and retrievals, a lost index, immutability. One repository lives
 * through all of it, so the tests build on each other in their order.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { findFileDifference } from "#local/demo/compare-disks.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import {
  blobsBelow,
  containerOf,
  createImmutableContainer,
  damageLargestPack,
  listPoints,
  loseIndex,
  refusalOf,
  runOn,
  waitFor,
} from "./repository-operator.ts";
import { findSecrets } from "./secret-search.ts";
import {
  createRepository,
  diskId,
  makeImage,
  mib,
  readPoint,
  startTestStack,
  type TestStack,
} from "./test-stack.ts";

const marginSeconds = 15;
/** Of the app: no waiting for what takes hours in Azure, and no launch for each job. */
const settings = {
  HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0",
  HOLDFAST_MAINTENANCE_MARGIN_SECONDS: String(marginSeconds),
  HOLDFAST_WORKER_IDLE_SECONDS: "30",
  HOLDFAST_RETRIEVAL_LOOK_SECONDS: "1",
};
const immutableRecord = {
  name: "immutable",
  container: "immutable",
  immutability: { kind: "on", days: 1 },
};
const dayMs = 24 * 3600 * 1000;
/** Immutability ends at the next border of a generation of ten days. */
const generationDays = 10;

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
let repositoryId = "";
let vm: VmRow;
/** A repository whose points are immutable, and the machine that it is for. */
let immutableId = "";
let immutableVm: VmRow;
/** Restore points by their order, and files with the disk's content as it was. */
const points: RestorePoint[] = [];
const images: string[] = [];
let archiveId = "";
let markedAtMs = Number.NaN;
let packsBefore: readonly string[] = [];

beforeAll(async () => {
  running = await startTestStack(settings);
  stop = () => running.stop();
  repositoryId = running.repositoryId;
  vm = await createVm("app", 40 * mib, 10 * mib);
  immutableVm = await createVm("vault", 24 * mib, 2 * mib);
  await createImmutableContainer(running, immutableRecord.container);
  immutableId = await createRepository(running.api, running.stack, immutableRecord);
});

afterEach(() => running.checkEstate());

afterAll(async () => {
  await stop?.();
});

async function createVm(name: string, sizeBytes: number, dataBytes: number): Promise<VmRow> {
  const piece = { offsetBytes: 0, lengthBytes: dataBytes };
  const osDisk = await makeImage(join(running.directory, `${name}.raw`), sizeBytes, [piece]);
  const wanted = { name, region: "westeurope", osDisk, dataDisks: [], tags: {} };
  return running.stack.estate.createVm(wanted);
}

async function backUp(of: VmRow, to: string): Promise<{ state: string; point: RestorePoint }> {
  const path = `/protected-vms/${of.vmId}/backups`;
  const { sessionId, state } = await runOn(running, path, { repositoryId: to }, "any end");
  return { state, point: await readPoint(running, sessionId) };
}

/** The guest writes to always the same place, and a restore point is made of it. */
async function backUpNext(): Promise<{ state: string; point: RestorePoint }> {
  const id = await diskId(running, "app-os");
  await running.stack.cloud.disks.guestWrite(id, 12 * mib, randomBytes(512 * 1024));
  const image = join(running.directory, `point-${points.length}.raw`);
  await running.stack.estate.exportDisk({ disk: "app-os", out: image });
  const made = await backUp(vm, repositoryId);
  points.push(made.point);
  images.push(image);
  return made;
}

/** Restores from a point or a retrieval, and compares every byte. */
async function expectRestored(
  source: { restorePointId: string } | { retrievalId: string },
  { vmName, image }: { vmName: string; image: string | undefined },
): Promise<void> {
  await runOn(running, "/restores", { ...source, vmName });
  const out = join(running.directory, `${vmName}.raw`);
  await running.stack.estate.exportDisk({ disk: `${vmName}-os`, out });
  expect(await findFileDifference(out, image ?? "no image")).toBeUndefined();
}

async function check(level: string) {
  const path = `/repositories/${repositoryId}/health-checks`;
  const { state, check: found } = await runOn(running, path, { level }, "any end");
  return { state, ...found };
}

async function maintain(of: string) {
  return (await runOn(running, `/repositories/${of}/maintenance`, {})).maintenance;
}

async function letGo(point: Pick<RestorePoint, "pointId"> | undefined): Promise<void> {
  const keepUntil = new Date(Date.now() - 1000).toISOString();
  const path = `/restore-points/${point?.pointId}/keep-until`;
  expect((await running.api.send("PUT", path, { keepUntil })).status).toBe(200);
}

async function showPoints(of = repositoryId): Promise<object[]> {
  const found = await listPoints(running, of);
  return found.map(({ pointId, damaged, state }) => ({ pointId, state, damaged: damaged?.level }));
}

async function namesBelow(prefix: string): Promise<string[]> {
  return (await blobsBelow(containerOf(running), prefix)).map(({ name }) => name);
}

/** As after the loss of the control plane's tables: known points are gone, the folder is not. */
async function forgetAndImport(of: string, record: object): Promise<string> {
  await loseIndex(running, of);
  expect((await running.api.send("DELETE", `/repositories/${of}`)).status).toBe(204);
  const again = await createRepository(running.api, running.stack, record);
  await runOn(running, `/repositories/${again}/import`, { location: "westeurope" });
  return again;
}

test(
  "a health check of every level finds nothing in a sound repository",
  { timeout: 150_000 },
  async () => {
    // At the same time, as by a policy: two machines, two repositories.
    await Promise.all([backUpNext(), backUp(immutableVm, immutableId)]);
    await Promise.all([backUpNext(), backUp(immutableVm, immutableId)]);
    for (const level of ["presence", "metadata", "sample", "complete"] as const) {
      const { state, findingCount, checkedPoints, verifiedBlocks = 0 } = await check(level);
      expect({ level, state, findingCount, checkedPoints }).toEqual({
        level,
        state: "succeeded",
        findingCount: 0,
        checkedPoints: 2,
      });
      if (level === "complete") expect(verifiedBlocks).toBeGreaterThanOrEqual(40);
    }
  },
);

test(
  "a damaged pack is named with its points, and the next backup heals the disk",
  { timeout: 150_000 },
  async () => {
    const pack = await damageLargestPack(containerOf(running));
    expect((await check("presence")).state).toBe("succeeded");
    const found = await check("complete");
    expect(found.state).toBe("warning");
    expect(found.findings?.map(({ kind, object }) => ({ kind, object }))).toContainEqual({
      kind: "unreadable-block",
      object: pack,
    });
    const asBefore = points.map(({ pointId }) => ({ pointId, state: "available" }));
    const bothDamaged = asBefore.toReversed().map((point) => ({ ...point, damaged: "complete" }));
    expect(await showPoints()).toEqual(bothDamaged);

    const { state, point } = await backUpNext();
    expect(state).toBe("warning");
    expect(point.disks[0]?.kind).toBe("incremental");
    expect(point.disks[0]?.warnings.join()).toContain("health check");
    expect((await check("complete")).state).toBe("warning");
    const healed = { pointId: point.pointId, state: "available", damaged: undefined };
    expect(await showPoints()).toEqual([healed, ...bothDamaged]);
  },
);

test(
  "a healed point is restored while it is archived, into the archive tier",
  { timeout: 150_000 },
  async () => {
    const restorePointId = points[2]?.pointId ?? "";
    const path = `/restore-points/${restorePointId}/archive`;
    const [session] = await Promise.all([
      runOn(running, path, { retentionDays: 400 }),
      expectRestored({ restorePointId }, { vmName: "healed", image: images[2] }),
    ]);
    archiveId = session.archiveId ?? "";
    expect(session.archive?.storedBytes).toBeGreaterThan(10 * mib);
    const packs = await blobsBelow(containerOf(running), `archives/${vm.vmId}/${archiveId}/disks/`);
    const tiers = packs.filter(({ name }) => name.endsWith(".pack")).map(({ tier }) => tier);
    expect([...new Set(tiers)]).toEqual(["Archive"]);
  },
);

test("what expires goes, and what only it needed is marked", { timeout: 150_000 }, async () => {
  const { state, point } = await backUpNext();
  expect(state).toBe("succeeded");
  packsBefore = await namesBelow("disks/");
  for (const each of points.slice(0, 3)) await letGo(each);
  const done = await maintain(repositoryId);
  markedAtMs = Date.now();
  expect(done?.keptPoints).toEqual([]);
  expect(done?.skippedDisks).toEqual([]);
  expect(done?.markedObjects).toBeGreaterThan(0);
  expect(await showPoints()).toEqual([
    { pointId: point.pointId, state: "available", damaged: undefined },
  ]);
  const gone = { restorePointId: points[2]?.pointId, vmName: "too-late" };
  expect(await refusalOf(running, "POST", "/restores", gone)).toBe("400 InvalidRequest");
});

test(
  "a lost index comes back by an import, points and archives",
  { timeout: 150_000 },
  async () => {
    const before = await listPoints(running, repositoryId);
    repositoryId = await forgetAndImport(repositoryId, {});
    const facts = (found: typeof before) =>
      found.map(({ pointId, takenAt, vmName, state }) => ({ pointId, takenAt, vmName, state }));
    expect(facts(await listPoints(running, repositoryId))).toEqual(facts(before));
    const archives = await running.api.list("/archives", z.object({ archiveId: z.string() }));
    expect(archives).toEqual([{ archiveId }]);
  },
);

test("an archive is restored after a retrieval, and not before", { timeout: 150_000 }, async () => {
  const { api, stack } = running;
  const wanted = { priority: "high", tier: "hot", availableDays: 1 };
  const { retrievalId } = await api.call("POST", `/archives/${archiveId}/retrievals`, {
    body: wanted,
    answer: z.object({ retrievalId: z.string() }),
  });
  const path = `/retrievals/${retrievalId}`;
  const early = { retrievalId, vmName: "too-early" };
  expect(await refusalOf(running, "POST", "/restores", early)).toBe("409 RestoreConflict");
  const retrieval = z.object({ state: z.string(), pendingObjects: z.number().optional() });
  await waitFor("the copies to be on their way", async () => {
    const { pendingObjects = 0 } = await api.call("GET", path, { answer: retrieval });
    return pendingObjects > 0 ? pendingObjects : undefined;
  });
  await stack.cloud.storage.passTime(5);
  await waitFor("the window", async () => {
    const { state } = await api.call("GET", path, { answer: retrieval });
    return state === "available" ? state : undefined;
  });
  await expectRestored({ retrievalId }, { vmName: "archived", image: images[2] });
  expect((await api.send("DELETE", path)).status).toBe(202);
  expect((await api.send("DELETE", `/archives/${archiveId}`)).status).toBe(202);
});

test("nobody deletes an immutable point before its time", { timeout: 150_000 }, async () => {
  const [second, first] = await listPoints(running, immutableId);
  if (first === undefined || second === undefined) throw new Error("two points were made");
  const untilMs = Date.parse(first.immutableUntil ?? "");
  expect(untilMs).toBeGreaterThanOrEqual(Date.parse(first.takenAt) + dayMs);
  const manifest = `vms/${first.vmId}/points/${first.pointId}.manifest`;
  const blob = containerOf(running, immutableRecord.container).getBlobClient(manifest);
  await expect(blob.delete()).rejects.toThrow("immutable due to a policy");

  // The control plane holds what it knows to be immutable; one that has forgotten asks the storage.
  const held = [second, first].map(({ pointId }) => ({ pointId, state: "available" }));
  await letGo(first);
  expect((await maintain(immutableId))?.keptPoints).toEqual([]);
  expect(await showPoints(immutableId)).toEqual(held);
  immutableId = await forgetAndImport(immutableId, immutableRecord);
  await letGo(first);
  const { vmId, pointId } = first;
  const kept = [{ vmId, pointId, reason: "immutable" }];
  expect((await maintain(immutableId))?.keptPoints).toEqual(kept);
  expect(await showPoints(immutableId)).toEqual(held);

  const aheadMs = untilMs - Date.now() + generationDays * dayMs;
  await running.stack.cloud.storage.passTime(aheadMs / 1000);
  expect((await maintain(immutableId))?.keptPoints).toEqual([]);
  expect(await showPoints(immutableId)).toEqual(held.slice(0, 1));
});

test(
  "what was marked is deleted after the margin, and what is left is whole",
  { timeout: 150_000 },
  async () => {
    const leftMs = Math.max(0, markedAtMs + marginSeconds * 1000 - Date.now());
    await new Promise((resolve) => setTimeout(resolve, leftMs));
    const done = await maintain(repositoryId);
    expect(done?.deletedObjects).toBeGreaterThan(0);
    expect(done?.expiredArchiveIds).toEqual([archiveId]);
    const packsAfter = new Set(await namesBelow("disks/"));
    const deletedPacks = packsBefore.filter(
      (name) => !packsAfter.has(name) && name.endsWith(".pack"),
    );
    expect(deletedPacks.length).toBeGreaterThan(0);
    expect(await namesBelow("retrievals/")).toEqual([]);
    expect((await namesBelow("archives/")).filter((name) => !name.endsWith("/lock"))).toEqual([]);
    // The damaged bytes are still in a pack that others need; no point refers to them any more.
    const { findings = [] } = await check("complete");
    expect(findings.flatMap(({ affectedPoints }) => affectedPoints)).toEqual([]);
    const restorePointId = points[3]?.pointId ?? "";
    await expectRestored({ restorePointId }, { vmName: "at-last", image: images[3] });
    expect(await findSecrets(running)).toEqual([]);
  },
);
