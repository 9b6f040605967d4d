import { describe, expect, test } from "vitest";
import type { ProbeAnswer, ProbeNetwork, ProbeQuestion } from "#core/ports/probe-network.ts";
import { doctorResultSchema, type Probe, type ProbeCode } from "#core/model/doctor.ts";
import type { DoctorJob } from "#core/protocol/job.ts";
import { runDoctor } from "#worker-agent/jobs/doctor.ts";
import { isPrivateAddress, verdictOfAnswer } from "#worker-agent/jobs/probe-codes.ts";

const clock = { now: () => new Date("2026-11-22T00:00:00Z"), sleep: async () => undefined };
const stop = new AbortController().signal;

interface Script {
  resolve?: () => Promise<{ aliases: string[]; address: string }>;
  connect?: () => Promise<void>;
  secure?: () => Promise<void>;
  token?: ProbeNetwork["readToken"];
  answer?: ProbeAnswer | Error;
}

/** A network that does as it is told, and notes what was asked. */
function scripted(script: Script) {
  const asked: ProbeQuestion[] = [];
  const seen = { connections: 0, closed: 0 };
  const network: ProbeNetwork = {
    resolve: script.resolve ?? (async () => ({ aliases: ["x.privatelink"], address: "10.1.0.4" })),
    async connect() {
      seen.connections++;
      await script.connect?.();
      return {
        secure: async () => script.secure?.(),
        async ask(question) {
          asked.push(question);
          if (script.answer instanceof Error) throw script.answer;
          return script.answer ?? { status: 200, errorCode: "" };
        },
        [Symbol.dispose]: () => void seen.closed++,
      };
    },
    readToken: script.token ?? (async () => "token"),
  };
  return { network, asked, seen };
}

const probe = (
  kind: Probe["kind"],
  url = "https://a.blob.core.windows.net/box/it?sig=s",
): Probe => ({
  name: kind,
  kind,
  url,
});

const job = (...probes: Probe[]): DoctorJob => ({
  version: 1,
  kind: "doctor",
  jobId: "j~doctor",
  attempt: 1,
  workerId: "w",
  expiresAt: "2026-11-22T01:00:00Z",
  probes,
  probeSeconds: 0.2,
});

async function look(script: Script, one: Probe) {
  const { network, asked, seen } = scripted(script);
  const result = await runDoctor({ probeNetwork: network, clock }, job(one), stop);
  expect(doctorResultSchema.safeParse(result).success).toBe(true);
  const [first] = result.probes;
  if (first === undefined) throw new Error("no result");
  return { ...first, asked, seen };
}

const systemError = (code: string) => async () => {
  throw Object.assign(new Error(`failed: ${code} https://a/?sig=secret`), { code });
};
const never = () => new Promise<never>(() => undefined);

describe("the doctor on a worker", () => {
  test("asks each kind its own small question, and tells address and aliases", async () => {
    const queue = await look({}, probe("job-queue", "https://a.queue.core.windows.net/jobs-w"));
    expect(queue).toMatchObject({
      ok: true,
      code: "Ok",
      host: "a.queue.core.windows.net",
      address: "10.1.0.4",
      aliases: ["x.privatelink"],
    });
    expect(queue.asked[0]).toMatchObject({
      path: "/jobs-w/messages?numofmessages=1&visibilitytimeout=1",
    });
    expect(queue.asked[0]?.headers["authorization"]).toBe("Bearer token");
    const sas = await look({}, probe("disk"));
    expect(sas.asked[0]).toMatchObject({ method: "HEAD", path: "/box/it?sig=s" });
    expect(sas.asked[0]?.headers["authorization"]).toBeUndefined();
    const box = await look({}, probe("repository", "https://a.blob.core.windows.net/box"));
    expect(box.asked[0]?.path).toBe("/box?restype=container&comp=list&maxresults=1");
    const events = await look({}, probe("event-queue", "https://c.queue.core.windows.net/events"));
    expect([events.ok, events.asked, events.seen.closed]).toEqual([true, [], 1]);
  });

  test("does not even try to connect to a public address", async () => {
    const resolve = async () => ({ aliases: [], address: "20.60.1.2" });
    const { code, seen } = await look({ resolve }, probe("disk"));
    expect([code, seen.connections]).toEqual(["PublicAddress", 0]);
  });

  test.each<[ProbeCode, Script]>([
    ["NoSuchName", { resolve: systemError("ENOTFOUND") }],
    ["NameServerSilent", { resolve: systemError("EAI_AGAIN") }],
    ["NameServerSilent", { resolve: never }],
    ["ConnectTimedOut", { connect: never }],
    ["ConnectTimedOut", { connect: systemError("ETIMEDOUT") }],
    ["ConnectRefused", { connect: systemError("ECONNREFUSED") }],
    ["NoRoute", { connect: systemError("ENETUNREACH") }],
    ["ForeignCertificate", { secure: systemError("ERR_TLS_CERT_ALTNAME_INVALID") }],
    ["UntrustedCertificate", { secure: systemError("UNABLE_TO_VERIFY_LEAF_SIGNATURE") }],
    ["ConnectionCut", { secure: systemError("ECONNRESET") }],
    ["ConnectionCut", { answer: new Error("socket hang up") }],
  ])("tells %s", async (code, script) => {
    const found = await look(withAborts(script), probe("disk"));
    expect([found.ok, found.code]).toEqual([false, code]);
    expect(found.message).not.toContain("secret");
    if (found.seen.connections > 0 && script.connect === undefined)
      expect(found.seen.closed).toBe(1);
  });

  test("tells that the identity got no token", async () => {
    const found = await look({ token: systemError("X") }, probe("repository", "https://a.b/box"));
    expect(found.code).toBe("TokenMissing");
  });

  test("asks a disk that wants it with a token for disks beside the SAS, and no other disk", async () => {
    const wanted: string[] = [];
    const token: Script["token"] = async ({ audience, host }) => {
      wanted.push(`${audience} ${host}`);
      return "disk-token";
    };
    const url = "https://md-1.z1.blob.storage.azure.net/box/it?sig=s";
    const found = await look({ token }, { ...probe("disk", url), needsToken: true });
    expect(found.asked[0]).toMatchObject({
      method: "HEAD",
      path: "/box/it?sig=s",
      headers: { authorization: "Bearer disk-token" },
    });
    await look({ token }, probe("disk", url));
    await look({ token }, { ...probe("staging-blob"), needsToken: true });
    expect(wanted).toEqual(["disks md-1.z1.blob.storage.azure.net"]);
  });

  test("probes at the same time: one that hangs delays no other", async () => {
    const { network } = scripted({});
    const mixed: ProbeNetwork = {
      ...network,
      resolve: async (host, signal) =>
        host === "slow.example" ? aborting(signal) : network.resolve(host, signal),
    };
    const probes = [probe("disk", "https://slow.example/a?sig=s"), probe("disk"), probe("disk")];
    const result = await runDoctor({ probeNetwork: mixed, clock }, job(...probes), stop);
    expect(result.probes.map(({ ok }) => ok)).toEqual([false, true, true]);
  });

  test("ends with the agent: no result of a doctor that was stopped", async () => {
    const stopping = new AbortController();
    const { network } = scripted({});
    const hanging = {
      ...network,
      resolve: async (_: string, signal: AbortSignal) => aborting<never>(signal),
    };
    const run = runDoctor({ probeNetwork: hanging, clock }, job(probe("disk")), stopping.signal);
    stopping.abort();
    await expect(run).rejects.toThrow();
  });
});

describe("answers of services", () => {
  const carried = {
    token: { sas: false, token: true },
    SAS: { sas: true, token: false },
    both: { sas: true, token: true },
  };
  test.each<[number, string, keyof typeof carried, ProbeCode]>([
    [200, "", "token", "Ok"],
    [403, "AuthorizationFailure", "token", "NetworkRefused"],
    [403, "AuthorizationFailure", "SAS", "NetworkRefused"],
    [403, "AuthorizationFailure", "both", "NetworkRefused"],
    [409, "PublicAccessNotPermitted", "token", "ServiceFailed"],
    [403, "AuthorizationPermissionMismatch", "token", "PermissionMissing"],
    [403, "AuthenticationFailed", "SAS", "SasRefused"],
    [401, "NoAuthenticationInformation", "token", "PermissionMissing"],
    [401, "NoAuthenticationInformation", "SAS", "SasRefused"],
    [403, "AuthenticationFailed", "both", "SasRefused"],
    [403, "AuthorizationPermissionMismatch", "both", "PermissionMissing"],
    [401, "InvalidAuthenticationInfo", "both", "PermissionMissing"],
    [404, "ContainerNotFound", "token", "NotFound"],
    [503, "ServerBusy", "SAS", "ServiceFailed"],
  ])("%i %s to a question with %s is %s", (status, errorCode, what, code) => {
    expect(verdictOfAnswer({ status, errorCode }, carried[what]).code).toBe(code);
  });
});

test.each([
  ["10.1.2.3", true],
  ["172.16.0.1", true],
  ["172.32.0.1", false],
  ["192.168.1.1", true],
  ["100.64.0.1", true],
  ["127.0.0.1", true],
  ["20.60.1.2", false],
  ["192.0.2.1", false],
  ["fd00::1", true],
  ["2603:1030::1", false],
])("%s is private: %s", (address, expected) => {
  expect(isPrivateAddress(address)).toBe(expected);
});

/** A network adapter gives up with the signal; what never answers does so here. */
function withAborts(script: Script): Script {
  const bounded = <Value>(step: (() => Promise<Value>) | undefined) =>
    step === never ? () => aborting<Value>(AbortSignal.timeout(250)) : step;
  return {
    ...script,
    ...(script.resolve && { resolve: bounded(script.resolve) ?? script.resolve }),
    ...(script.connect && { connect: bounded(script.connect) ?? script.connect }),
  };
}

function aborting<Value>(signal: AbortSignal): Promise<Value> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
  });
}
