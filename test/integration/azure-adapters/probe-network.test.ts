import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import {
  createServer as createTcpServer,
  type AddressInfo,
  type Server as TcpServer,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createProbeNetwork } from "#azure/storage/probe-network.ts";
import type { ProbeKind, ProbeResult } from "#core/model/doctor.ts";
import { ensureServerTls } from "#local/tls/authority.ts";
import { runDoctor } from "#worker-agent/jobs/doctor.ts";

/** The doctor with real names, connections, certificates and requests, on this machine. */
const usualAuthorities = getCACertificates("default");
const clock = { now: () => new Date("2026-11-22T00:00:00Z"), sleep: async () => undefined };
const probeNetwork = createProbeNetwork({
  getToken: async () => ({ token: "a-token", expiresOnTimestamp: Date.now() + 3_600_000 }),
});

let directory: string;
let service: Server;
let silent: TcpServer;
let answer: { status: number; code?: string };
let asked: { method: string | undefined; url: string | undefined; authorization: string }[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-probe-"));
  const tls = await ensureServerTls({ directory });
  service = createServer({ key: tls.key, cert: tls.certificate }, (request, response) => {
    const { method, url, headers } = request;
    asked.push({ method, url, authorization: headers.authorization ?? "" });
    if (answer.code !== undefined) response.setHeader("x-ms-error-code", answer.code);
    response.writeHead(answer.status).end();
  });
  silent = createTcpServer((socket) => void socket.on("error", () => undefined));
  for (const server of [service, silent])
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  setDefaultCACertificates([...usualAuthorities, tls.ca]);
});

afterAll(async () => {
  setDefaultCACertificates(usualAuthorities);
  for (const server of [service, silent]) server.close();
  service.closeAllConnections();
  await rm(directory, { recursive: true, force: true });
});

const portOf = (server: TcpServer): number => (server.address() as AddressInfo).port;

async function look(kind: ProbeKind, url: string, probeSeconds = 5): Promise<ProbeResult> {
  asked = [];
  const job = {
    version: 1,
    kind: "doctor",
    jobId: "j",
    attempt: 1,
    workerId: "w",
    expiresAt: "2026-11-22T01:00:00Z",
    probes: [{ name: "it", kind, url }],
    probeSeconds,
  } as const;
  const signal = new AbortController().signal;
  const { probes } = await runDoctor(
    { probeNetwork, clock },
    { ...job, probes: [...job.probes] },
    signal,
  );
  return probes[0]!;
}

describe("a probe over the machine's network", () => {
  test("asks a service that answers, by SAS and by token", async () => {
    answer = { status: 200 };
    const at = `https://localhost:${portOf(service)}/box`;
    expect(await look("disk", `${at}/d?sv=1&sig=a%2Bb`)).toMatchObject({
      ok: true,
      address: "127.0.0.1",
    });
    expect(asked).toEqual([{ method: "HEAD", url: "/box/d?sv=1&sig=a%2Bb", authorization: "" }]);
    expect(await look("repository", at)).toMatchObject({ ok: true });
    expect(asked).toMatchObject([{ method: "GET", authorization: "Bearer a-token" }]);
    expect(await look("event-queue", at)).toMatchObject({ ok: true });
    expect(asked).toEqual([]);
  });

  test("tells Azure's refusals apart", async () => {
    const at = `https://127.0.0.1:${portOf(service)}/box`;
    answer = { status: 403, code: "AuthorizationFailure" };
    expect(await look("job-queue", at)).toMatchObject({ ok: false, code: "NetworkRefused" });
    answer = { status: 403, code: "AuthorizationPermissionMismatch" };
    expect(await look("job-queue", at)).toMatchObject({ code: "PermissionMissing" });
    answer = { status: 403, code: "AuthenticationFailed" };
    expect(await look("disk", `${at}?sig=x`)).toMatchObject({ code: "SasRefused" });
  });

  test("tells a name, a port and a certificate apart", async () => {
    const unused = createTcpServer();
    await new Promise<void>((resolve) => unused.listen(0, "127.0.0.1", resolve));
    const port = portOf(unused);
    await new Promise((resolve) => unused.close(resolve));
    expect(await look("disk", `https://127.0.0.1:${port}/a`)).toMatchObject({
      code: "ConnectRefused",
    });
    expect(await look("disk", "https://no-such-name.invalid/a")).toMatchObject({
      code: expect.stringMatching(/^(NoSuchName|NameServerSilent)$/),
    });
    setDefaultCACertificates(usualAuthorities);
    const untrusted = await look("disk", `https://127.0.0.1:${portOf(service)}/a`);
    expect(untrusted.code).toBe("UntrustedCertificate");
    setDefaultCACertificates([
      ...usualAuthorities,
      await readFile(join(directory, "ca.pem"), "utf8"),
    ]);
  });

  test("ends in its time where a service accepts and says nothing", async () => {
    const found = await look("disk", `https://127.0.0.1:${portOf(silent)}/a`, 0.3);
    expect(found).toMatchObject({ ok: false, code: "ConnectionCut" });
    expect(found.message).toContain("TLS was not answered in time");
  });
});
