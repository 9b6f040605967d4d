/** The API's side of what looks after a repository. */
import { beforeEach, describe, expect, it } from "vitest";
import { callEndpoint, POLICY_BODY, REPOSITORY_BODY } from "./api-caller.ts";
import type { Answer, CallOptions, Started } from "./api-caller.ts";
import { insertPoint, RETAINED_VM as VM } from "./retained-points.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

let pointId: string;
let world: World;
let started: Started[];

const call = (name: string, options?: CallOptions): Promise<Answer> =>
  callEndpoint(world, started, name, options);

beforeEach(async () => {
  world = createWorld();
  started = [];
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  pointId = await insertPoint(world, 21);
});

const inRepository = { params: { repositoryId: "r-1" } };

describe("maintenance on demand", () => {
  it("opens a session and starts its orchestration", async () => {
    const answer = await call("start-maintenance", { ...inRepository, body: { confirm: true } });
    const sessionId = "retention-r-1-20261122T013000Z";
    expect(answer).toMatchObject({
      status: 202,
      body: { sessionId },
      headers: { location: `/api/v1/sessions/${sessionId}` },
    });
    expect(started).toMatchObject([
      { name: "maintain-repository", instanceId: sessionId, input: { confirmed: true } },
    ]);
    const shown = await call("list-sessions", { query: { type: "retention" } });
    expect(shown.body.value).toMatchObject([{ sessionId, state: "running" }]);
    expect(await call("start-maintenance", inRepository)).toMatchObject({ status: 409 });
  });

  it("refuses an unknown repository and an unknown field", async () => {
    const params = { repositoryId: "r-9" };
    expect((await call("start-maintenance", { params })).status).toBe(404);
    const wrong = await call("start-maintenance", { ...inRepository, body: { force: true } });
    expect(wrong.body.error.details).toEqual([{ path: "force", reason: "unknown field" }]);
    expect(started).toEqual([]);
  });
});

describe("how long a restore point stays", () => {
  it("is stated with a backup on demand, 30 days unless told", async () => {
    const { records } = world.context;
    for (const [body, keepUntil] of [
      [{ repositoryId: "r-1" }, "2026-12-22T01:30:00.000Z"],
      [{ repositoryId: "r-1", retentionDays: 7 }, "2026-11-29T01:30:01.000Z"],
    ] as const) {
      const answer = await call("start-backup", { params: { vmId: VM.vmId }, body });
      expect(answer.status).toBe(202);
      expect((await records.sessions.get(answer.body.sessionId)).keepUntil).toBe(keepUntil);
      world.driver.now += 1000;
    }
    const wrong = await call("start-backup", {
      params: { vmId: VM.vmId },
      body: { repositoryId: "r-1", retentionDays: 0 },
    });
    expect(wrong.status).toBe(400);
  });

  it("can be stated later, and taken back, until retention has let it go", async () => {
    const keep = (keepUntil: unknown, id = pointId): Promise<Answer> =>
      call("keep-restore-point", { params: { pointId: id }, body: { keepUntil } });
    const until = "2030-01-01T00:00:00.000Z";
    expect(await keep(until)).toMatchObject({ status: 200, body: { keepUntil: until } });
    expect((await keep(null)).body).not.toHaveProperty("keepUntil");
    expect((await keep("soon")).status).toBe(400);
    expect((await keep(until, "nobody")).status).toBe(404);
    await world.context.records.points.update(pointId, (each) => ({ ...each, state: "expiring" }));
    expect(await keep(until)).toMatchObject({
      status: 409,
      body: { error: { code: "RestorePointExpiring" } },
    });
  });

  it("is a policy's, with a default", async () => {
    const made = await call("create-policy", { body: POLICY_BODY });
    expect(made.body.retention).toEqual({
      days: 30,
      daily: 0,
      weekly: 0,
      monthly: 0,
      yearly: 0,
      minimumCount: 3,
    });
    const refuse = async (fields: object): Promise<string[]> => {
      const answer = await call("create-policy", { body: { ...POLICY_BODY, ...fields } });
      expect(answer.status).toBe(400);
      return answer.body.error.details.map(({ path }: { path: string }) => path);
    };
    const never = { cron: "0 0 30 2 *", timeZone: "UTC" };
    expect(await refuse({ retention: {} })).toEqual(["retention"]);
    expect(await refuse({ retention: { days: 7, weekly: -1 } })).toEqual(["retention.weekly"]);
    expect(await refuse({ archive: { schedule: never } })).toEqual(["archive.schedule.cron"]);
    expect(await refuse({ healthCheck: { schedule: never } })).toEqual([
      "healthCheck.schedule.cron",
    ]);
  });
});

describe("immutability of a repository", () => {
  it("cannot be weakened while there are restore points", async () => {
    const replace = (immutability: object): Promise<Answer> =>
      call("replace-repository", {
        params: { repositoryId: "r-1" },
        body: {
          ...REPOSITORY_BODY,
          blobServiceUrl: "https://repo.blob.example/",
          encryption: { kind: "password", secretName: "backup-password" },
          immutability,
        },
      });
    expect((await replace({ kind: "on", days: 14 })).status).toBe(200);
    expect((await replace({ kind: "on", days: 30 })).status).toBe(200);
    for (const weaker of [{ kind: "on", days: 29 }, { kind: "off" }])
      expect(await replace(weaker)).toMatchObject({
        status: 409,
        body: { error: { code: "RepositoryInUse" } },
      });
    expect((await replace({ kind: "on", days: 0 })).status).toBe(400);
  });
});

describe("health checks and imports on demand", () => {
  it("start with what was asked for", async () => {
    const checked = await call("start-health-check", {
      ...inRepository,
      body: { level: "complete", vmIds: [VM.vmId] },
    });
    expect(checked).toMatchObject({
      status: 202,
      body: { sessionId: "health-check-r-1-20261122T013000Z" },
    });
    const imported = await call("start-import", {
      ...inRepository,
      body: { location: "westeurope" },
    });
    expect(imported.body.sessionId).toBe("import-r-1-20261122T013000Z");
    expect(started).toMatchObject([
      { name: "check-repository", input: { level: "complete", vmIds: [VM.vmId] } },
      { name: "import-repository", input: { location: "westeurope", repositoryId: "r-1" } },
    ]);
    const shown = await call("get-session", { params: checked.body });
    expect(shown.body).toMatchObject({ type: "health-check", checkLevel: "complete" });
  });

  it("refuse what they do not know", async () => {
    const wrong: [string, object, string][] = [
      ["start-health-check", { level: "thorough" }, "level"],
      ["start-health-check", { vmIds: [] }, "vmIds"],
      ["start-import", { location: "West Europe" }, "location"],
    ];
    for (const [name, body, field] of wrong) {
      const answer = await call(name, { ...inRepository, body });
      expect([answer.status, answer.body.error.details[0].path]).toEqual([400, field]);
    }
    for (const name of ["start-health-check", "start-import"])
      expect((await call(name, { params: { repositoryId: "r-9" } })).status).toBe(404);
    expect(started).toEqual([]);
  });
});
