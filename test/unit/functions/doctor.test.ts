import { beforeEach, describe, expect, it } from "vitest";
import type { ProbeCode, ProbeKind, ProbeResult } from "#core/model/doctor.ts";
import type { DoctorJob } from "#core/protocol/job.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { callEndpoint, type Started } from "./api-caller.ts";
import { ZONE_GROUP_ID } from "./fake-region.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, healthyProbe, type World } from "./test-world.ts";

const zone = (service: string) =>
  `${ZONE_GROUP_ID}/providers/Microsoft.Network/privateDnsZones/privatelink.${service}.core.windows.net`;

let world: World;
let runs = 0;

beforeEach(async () => {
  world = createWorld();
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
});

async function backUp() {
  const vm = createTestVm();
  const sessionId = `backup-${vm.vmId}-${++runs}-manual`;
  await world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
    sessionId,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  });
  return world.context.records.sessions.get(sessionId);
}

/** What a worker sees when probes of these kinds fail so. */
function seeing(code: ProbeCode, ...kinds: ProbeKind[]) {
  return (job: DoctorJob): ProbeResult[] =>
    job.probes.map((probe) => {
      const well = healthyProbe(probe);
      return kinds.includes(probe.kind) ? { ...well, ok: false, code, message: code } : well;
    });
}

/** An endpoint of the region by a part of its name. */
function endpointLike(part: string): string {
  const found = [...world.azure.region.endpoints.keys()].find((id) => id.includes(part));
  if (found === undefined) throw new Error(`no endpoint like ${part}`);
  return found;
}

describe("the doctor before a job", () => {
  it("looks at every way once, and again only when something has changed", async () => {
    expect(await backUp()).toMatchObject({ state: "succeeded" });
    expect(world.doctorJobs).toHaveLength(1);
    const kinds = world.doctorJobs[0]?.probes.map(({ kind }) => kind);
    expect(kinds).toEqual(["staging-blob", "job-queue", "event-queue", "repository", "disk"]);
    expect(await backUp()).toMatchObject({ state: "succeeded" });
    expect(world.doctorJobs).toHaveLength(1);

    const endpoint = world.azure.region.endpoints.get(endpointLike("repo"));
    if (endpoint === undefined) throw new Error("no endpoint");
    endpoint.interfaceId = "10.212.1.77";
    world.azure.region.records.set(`${zone("blob")}/A/repo`, ["10.212.1.77"]);
    expect(await backUp()).toMatchObject({ state: "succeeded" });
    expect(world.doctorJobs).toHaveLength(2);
    expect(world.azure.liveSas.size).toBe(0);
  });

  it("fails the session with what is missing, and all is well once it is back", async () => {
    const record = `${zone("blob")}/A/repo`;
    let kept: readonly string[] | undefined;
    world.look = (job) => {
      kept ??= world.azure.region.records.get(record);
      world.azure.region.records.delete(record);
      return seeing("NoSuchName", "repository")(job);
    };
    const { state, error } = await backUp();
    expect([state, error?.code]).toEqual(["failed", "NetworkBroken"]);
    expect(error?.message).toMatch(/DNS record repo is missing in the zone privatelink\.blob/);
    expect(error?.message).toContain(record);
    // It looked again before it gave up, and the job itself was never sent.
    expect([world.doctorJobs.length, world.jobs.length]).toEqual([3, 0]);
    expect(world.azure.liveSas.size).toBe(0);

    world.azure.region.records.set(record, kept ?? []);
    world.look = (job) => job.probes.map(healthyProbe);
    expect(await backUp()).toMatchObject({ state: "succeeded" });
  });

  it("goes on when a second look shows that it was only slow to appear", async () => {
    world.look = (job) =>
      world.doctorJobs.length === 1
        ? seeing("PermissionMissing", "repository")(job)
        : job.probes.map(healthyProbe);
    expect(await backUp()).toMatchObject({ state: "succeeded" });
    expect(world.doctorJobs).toHaveLength(2);
  });

  it("takes another worker when one does not report what it saw", async () => {
    world.look = (job) =>
      world.doctorJobs.length === 1 ? undefined : job.probes.map(healthyProbe);
    expect(await backUp()).toMatchObject({ state: "succeeded" });
    const [first, second] = world.doctorJobs.map(({ workerId }) => workerId);
    expect(first).not.toBe(second);
  });
});

describe("the doctor before a restore", () => {
  const restore = async (vmName: string) => {
    const [point] = await collect(world.context.records.points.list());
    const sessionId = `restore-${vmName}`;
    await world.context.records.sessions.insert(sessionId, {
      sessionId,
      type: "restore",
      state: "running",
      trigger: "manual",
      startedAt: world.context.clock().toISOString(),
      restorePointId: point?.value.pointId,
      restoreRequest: { restorePointId: point?.value.pointId ?? "", vmName },
    });
    const { settings } = { settings: world.context.config.run };
    await world.driver.run(ORCHESTRATORS.restoreVm, sessionId, { sessionId, settings });
    return world.context.records.sessions.get(sessionId);
  };

  it("trusts the ways that a backup has proven, and looks along none of them again", async () => {
    await backUp();
    expect(await restore("again")).toMatchObject({ state: "succeeded" });
    expect(world.doctorJobs).toHaveLength(1);
  });

  it("names the endpoint that went after the region was prepared, and writes no disk", async () => {
    await backUp();
    let broken = "";
    world.sabotage = (name) => {
      if (name !== "place-disks" || broken !== "") return undefined;
      broken = endpointLike("-01-endpoint");
      world.azure.region.endpoints.delete(broken);
      return undefined;
    };
    const { state, error } = await restore("again");
    expect([state, error?.code]).toEqual(["failed", "NetworkBroken"]);
    expect(error?.message).toContain(broken);
    expect(world.jobs.map(({ kind }) => kind)).toEqual(["backup"]);
    // Nothing was asked of a disk that waits for its upload.
    const last = world.doctorJobs.at(-1)?.probes.map(({ kind }) => kind);
    expect(last).not.toContain("disk");
  });
});

describe("the doctor after a failure", () => {
  it("looks when a job failed as if the network were broken, and names the disk's endpoint", async () => {
    let broken = "";
    world.work = ({ jobId, attempt }) => {
      broken = endpointLike("-01-endpoint");
      world.azure.region.endpoints.delete(broken);
      const error = { code: "DiskUnreachable", message: "no disk", retry: "backoff" } as const;
      return { kind: "job-failed", jobId, attempt, error };
    };
    world.look = (job) =>
      world.jobs.length === 0 ? job.probes.map(healthyProbe) : seeing("NoSuchName", "disk")(job);
    const { error } = await backUp();
    expect(error?.code).toBe("NetworkBroken");
    expect(error?.message).toContain(`Create the private endpoint ${broken} again`);
    expect(error?.message).toMatch(/It showed as: no disk/);
    expect(world.jobs).toHaveLength(1);
    expect(world.azure.liveSas.size).toBe(0);
  });

  it("leaves the failure as it is when the network is well", async () => {
    world.work = ({ jobId, attempt }) => ({
      kind: "job-failed",
      jobId,
      attempt,
      error: { code: "SasRefused", message: "it was refused", retry: "never" },
    });
    const { error } = await backUp();
    expect(error).toEqual({ code: "SasRefused", message: "it was refused" });
    expect(world.doctorJobs).toHaveLength(2);
  });

  it("does not look after failures of another kind", async () => {
    world.work = ({ jobId, attempt }) => ({
      kind: "job-failed",
      jobId,
      attempt,
      error: { code: "WrongRepositoryPassword", message: "wrong", retry: "never" },
    });
    expect((await backUp()).error?.code).toBe("WrongRepositoryPassword");
    expect(world.doctorJobs).toHaveLength(1);
  });
});

describe("where no worker can look", () => {
  it("names the event queue's endpoint when the agent does not enrol", async () => {
    const broken = endpointLike("control-queue");
    world.azure.onRunCommand = async () => void world.azure.region.endpoints.delete(broken);
    const { error } = await backUp();
    expect(error?.code).toBe("NetworkBroken");
    expect(error?.message).toContain("private endpoint");
    expect(error?.message).toContain("queue of the control plane's storage account control");
    expect(error?.message).toMatch(/It showed as: Waited \d+ s in vain for enrolment/);
    expect(world.azure.ofType("worker")).toEqual([]);
  });

  it("names what the download of the bundle could not reach", async () => {
    let broken = "";
    world.sabotage = (name) => {
      if (name !== "read-install") return undefined;
      if (broken === "") broken = endpointLike("staging-blob");
      world.azure.region.endpoints.delete(broken);
      const message = "The agent could not be installed (exit code 1): curl: (6) Could not resolve";
      return { ok: false, error: { code: "InstallFailed", message, retry: "backoff" } };
    };
    const { error } = await backUp();
    expect(error?.code).toBe("NetworkBroken");
    expect(error?.message).toContain(broken);
    expect(error?.message).toMatch(/curl: \(6\)/);
  });

  it("names the peering when the control plane cannot reach the staging account", async () => {
    world.sabotage = async (name) => {
      if (name !== "install-agent") return undefined;
      for (const network of world.azure.region.networks.values())
        for (const { peeringId } of network.peerings)
          if (peeringId.includes("/hub/")) await world.azure.region.startDeletePeering(peeringId);
      const message = "Azure refused to create queue jobs-w: ETIMEDOUT.";
      return { ok: false, error: { code: "ETIMEDOUT", message, retry: "never" } };
    };
    const { error } = await backUp();
    expect(error?.message).toMatch(/peering \S+ from hub to holdfast-westeurope is missing/);
    expect(error?.message).toContain("It showed as: Azure refused to create queue");
  });

  it("asks once of what gave no answer, so that the deadline holds, and names the peering", async () => {
    world.sabotage = async (name) => {
      if (name !== "dispatch-job" && name !== "finish-worker-removal") return undefined;
      for (const network of world.azure.region.networks.values())
        for (const { peeringId } of network.peerings)
          if (peeringId.includes("/hub/")) await world.azure.region.startDeletePeering(peeringId);
      world.driver.now += 45_000;
      const message = "Azure gave no answer when trying to send a message to queue jobs-w.";
      return { ok: false, error: { code: "NoAnswer", message, retry: "backoff" } };
    };
    const { state, error } = await backUp();
    expect([state, error?.code]).toEqual(["failed", "NetworkBroken"]);
    expect(error?.message).toMatch(/peering \S+ from hub to holdfast-westeurope is missing/);
    expect(error?.message).toContain("It showed as: Azure gave no answer");
    const sent = world.driver.calls.map(({ name }) => name);
    expect(sent.filter((name) => name === "dispatch-job")).toHaveLength(1);
    expect(sent.filter((name) => name === "finish-worker-removal")).toHaveLength(1);
  });

  it("says only what happened when nothing is seen to be broken", async () => {
    const message = "The agent stopped.";
    world.sabotage = (name) =>
      name === "read-install"
        ? { ok: false, error: { code: "InstallFailed", message, retry: "never" } }
        : undefined;
    expect((await backUp()).error).toEqual({ code: "InstallFailed", message });
  });
});

describe("the doctor on demand", () => {
  const started: Started[] = [];
  const call = (name: string, region: string) =>
    callEndpoint(world, started, name, { params: { region } });

  it("looks without repairing, and keeps its report with the region", async () => {
    await backUp();
    expect((await call("read-doctor", "westeurope")).status).toBe(200);
    const broken = endpointLike("staging-queue");
    world.azure.region.endpoints.delete(broken);
    world.look = seeing("ConnectTimedOut", "job-queue");
    const answer = await call("start-doctor", "westeurope");
    expect(answer.status).toBe(202);
    const { name, instanceId: sessionId, input } = started[0]!;
    expect([name, answer.body.sessionId]).toEqual([ORCHESTRATORS.doctorRun, sessionId]);
    await world.driver.run(ORCHESTRATORS.doctorRun, sessionId, input);
    const session = await world.context.records.sessions.get(sessionId);
    expect(session).toMatchObject({ state: "failed", error: { code: "NetworkBroken" } });
    expect(session.error?.message).toContain(broken);
    expect(world.azure.region.endpoints.has(broken)).toBe(false);
    const report = await call("read-doctor", "westeurope");
    expect(report.body).toMatchObject({
      ok: false,
      findings: [{ resourceId: broken, probes: [expect.stringContaining("job queue")] }],
    });
    expect(report.body).not.toHaveProperty("greenWays");
  });

  /** Has the doctor look on demand; answers its report. */
  async function lookNow() {
    started.length = 0;
    await call("start-doctor", "westeurope");
    const { instanceId: sessionId, input } = started[0]!;
    await world.driver.run(ORCHESTRATORS.doctorRun, sessionId, input);
    const { state, error } = await world.context.records.sessions.get(sessionId);
    const { body } = await call("read-doctor", "westeurope");
    const findings = body.findings as { resourceId?: string; what: string; probes: string[] }[];
    const probed = world.doctorJobs.at(-1)?.probes.filter(({ kind }) => kind === "disk") ?? [];
    return { state, error, findings, probed };
  }
  const accessIds = () => world.azure.ofType("diskAccess").map(({ id }) => id);

  it("asks for one snapshot of each disk access that has one", async () => {
    await backUp();
    const named = world.azure
      .ofType("snapshot")
      .map(({ settings }) => settings.networkAccess.diskAccessId);
    const { state, probed } = await lookNow();
    expect(state).toBe("succeeded");
    expect(new Set(probed.map(({ targetId }) => targetId))).toEqual(new Set(named));
    expect(world.azure.liveSas.size).toBe(0);
  });

  it("asks nothing of a disk access that a job reads through, and ends no access of that job", async () => {
    await backUp();
    const { id: busyId } = world.azure.ofType("snapshot")[0]!;
    const row = { jobId: "j", sessionId: "j", resourceId: busyId, access: "Read" } as const;
    await world.context.records.grants.insert("j~1", {
      ...row,
      grantedAt: world.context.clock().toISOString(),
    });
    world.azure.liveSas.set(busyId, "Read");
    const busy = world.azure.resources.get(busyId)!.settings.networkAccess.diskAccessId;
    const { probed } = await lookNow();
    expect(probed.map(({ targetId }) => targetId)).not.toContain(busy);
    expect([...world.azure.liveSas.keys()]).toEqual([busyId]);
  });

  it("leaves the access to a job that began to read while it looked, which ends it", async () => {
    await backUp();
    const { grants } = world.context.records;
    const grantedAt = world.context.clock().toISOString();
    world.look = (job) => {
      for (const [resourceId] of world.azure.liveSas) {
        const row = { jobId: "reader", sessionId: "reader", resourceId, access: "Read" } as const;
        void grants.put(`reader~${resourceId.length}`, { ...row, grantedAt });
      }
      return job.probes.map(healthyProbe);
    };
    expect((await lookNow()).state).toBe("succeeded");
    const held = (await collect(grants.list())).map(({ value }) => value);
    expect(held.map(({ jobId }) => jobId)).toEqual(["reader"]);
    expect([...world.azure.liveSas.keys()]).toEqual(held.map(({ resourceId }) => resourceId));
    await ACTIVITIES["revoke-grants"].run(world.context, { jobId: "reader" });
    expect(world.azure.liveSas.size).toBe(0);
  });

  it("names the endpoint of a disk access without any snapshot", async () => {
    await backUp();
    for (const { id } of world.azure.ofType("snapshot")) world.azure.resources.delete(id);
    const broken = endpointLike("-01-endpoint");
    world.azure.region.endpoints.delete(broken);
    const { state, error, findings, probed } = await lookNow();
    expect([state, probed]).toEqual(["failed", []]);
    expect(findings.map(({ resourceId }) => resourceId)).toEqual([broken]);
    expect(error?.message).toContain(broken);
  });

  it("names the record of a disk access without any snapshot", async () => {
    await backUp();
    for (const { id } of world.azure.ofType("snapshot")) world.azure.resources.delete(id);
    const [accessId = ""] = accessIds();
    const record = `${zone("blob")}/A/${accessId.slice(accessId.lastIndexOf("/") + 1)}`;
    world.azure.region.emptyRecords.add(record);
    const { findings } = await lookNow();
    expect(findings.map(({ resourceId }) => resourceId)).toEqual([record]);
  });

  it("names a disk access that somebody deleted", async () => {
    await backUp();
    const [lost = ""] = accessIds();
    for (const { id, settings } of world.azure.ofType("snapshot"))
      if (settings.networkAccess.diskAccessId === lost) world.azure.resources.delete(id);
    world.azure.resources.delete(lost);
    const { findings, error } = await lookNow();
    expect(findings.map(({ resourceId }) => resourceId)).toEqual([lost]);
    expect(error?.message).toContain(
      `disk access ${lost.slice(lost.lastIndexOf("/") + 1)} is missing`,
    );
  });

  it("is refused for a region that has none, and when there is no repository", async () => {
    expect((await call("start-doctor", "nowhere")).status).toBe(404);
    expect((await call("read-doctor", "nowhere")).status).toBe(404);
    expect((await call("read-doctor", "No Where")).status).toBe(400);
  });
});
