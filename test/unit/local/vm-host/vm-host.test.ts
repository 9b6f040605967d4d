import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openVmHost, type VmHost } from "#local/vm-host/vm-host.ts";

const vmId = "0f1e2d3c-0000-4000-8000-000000000001";
/** Generous: the machine that runs the tests may be busy with other things. */
const eventually = { interval: 50, timeout: 20_000 };
let directory: string;
let host: VmHost;

async function openHost(): Promise<VmHost> {
  return openVmHost({
    stateDirectory: join(directory, "vm-host"),
    trustedCertificatesFile: join(directory, "ca.pem"),
    terminationGraceMs: 300,
  });
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "vm-host-"));
  host = await openHost();
});

afterEach(async () => {
  await host.stopAll();
  await rm(directory, { recursive: true, force: true });
});

async function run(script: string, options: object = {}) {
  const started = await host.startScript({ vmId, runId: "one", script, ...options });
  const result = await started.finished;
  return { ...result, ...(await started.readTail()) };
}

async function filesBelow(path: string): Promise<string[]> {
  const names = await readdir(path, { recursive: true });
  const files: string[] = [];
  for (const name of names) {
    if ((await stat(join(path, name))).isFile()) files.push(join(path, name));
  }
  return files;
}

it("passes named parameters as variables and the others as arguments", async () => {
  const result = await run('#!/bin/bash\necho "$NAME|$SECRET|$1|$2|$#"', {
    parameters: [
      { name: "NAME", value: "with blank" },
      { name: "", value: "first" },
      { name: "EMPTY", value: "" },
    ],
    protectedParameters: [
      { name: "SECRET", value: "s3cret" },
      { name: "", value: "second" },
    ],
  });
  expect(result).toMatchObject({ state: "Succeeded", exitCode: 0 });
  expect(result.output).toBe("with blank|s3cret|first|second|2\n");
});

it("writes a protected parameter to no file", async () => {
  await run('#!/bin/sh\ntest -n "$SECRET" && test -n "$1"', {
    protectedParameters: [
      { name: "SECRET", value: "do-not-write-me" },
      { name: "", value: "nor-me" },
    ],
  });
  const texts = await Promise.all(
    (await filesBelow(directory)).map(async (file) => readFile(file, "utf8")),
  );
  expect(texts.length).toBeGreaterThan(3);
  expect(texts.join("\n")).not.toMatch(/do-not-write-me|nor-me/);
});

it("runs a script by its shebang, and by bash without one", async () => {
  const withShebang = await run(`#!${process.execPath}\nconsole.log(typeof process.version)`);
  expect(withShebang.output).toBe("string\n");
  expect((await run("[[ -n $BASH_VERSION ]] && echo bash")).output).toBe("bash\n");
});

it("gives the guest a clean environment of its own", async () => {
  process.env["FOREIGN_VARIABLE"] = "leak";
  const { output } = await run("env", { metadataEndpoint: "http://127.0.0.1:1/" });
  delete process.env["FOREIGN_VARIABLE"];
  const guest = host.directoryOf(vmId);
  expect(output).not.toContain("FOREIGN_VARIABLE");
  expect(output).toContain(`HOME=${guest.home}\n`);
  expect(output).toContain(`HOLDFAST_ROOT=${guest.installPrefix}\n`);
  expect(output).toContain(`CURL_CA_BUNDLE=${join(directory, "ca.pem")}\n`);
  expect(output).toContain("AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:1/\n");
});

it("keeps the last 4096 bytes of each stream and the whole of it in the guest", async () => {
  const { output } = await run("for i in $(seq 1 3000); do echo $i; done");
  expect(Buffer.byteLength(output)).toBe(4096);
  expect(output.endsWith("2999\n3000\n")).toBe(true);
  const whole = await readFile(join(host.directoryOf(vmId).runs, "one", "stdout"), "utf8");
  expect(whole.startsWith("1\n2\n")).toBe(true);
});

it("reports the exit code and standard error of a failure", async () => {
  const result = await run("echo wrong >&2; exit 7");
  expect(result).toMatchObject({ state: "Failed", exitCode: 7, error: "wrong\n" });
});

it("ends a script that exceeds its time, with what it waits for", async () => {
  const result = await run("sleep 600 & sleep 601", { timeoutSeconds: 0.2 });
  expect(result).toMatchObject({ state: "TimedOut", exitCode: undefined });
  await expect.poll(async () => host.listProcesses(vmId), eventually).toEqual([]);
});

it("ends daemons that left session and process group, but not another guest's", async () => {
  await run(
    "setsid sh -c 'trap \"\" TERM; sleep 611 & wait; sleep 612' </dev/null >/dev/null 2>&1 &",
  );
  const other = await host.startScript({ vmId: "other", runId: "one", script: "exec sleep 613" });
  await expect
    .poll(
      async () => (await host.listProcesses(vmId)).map(({ commandLine }) => commandLine),
      eventually,
    )
    .toContain("sleep 611");
  await host.stop(vmId);
  await host.stop(vmId);
  expect(await host.listProcesses(vmId)).toEqual([]);
  expect((await host.listProcesses("other")).length).toBeGreaterThan(0);
  await host.evict("other");
  expect(await other.finished).toMatchObject({ state: "Canceled", exitCode: undefined });
});

it("kills one chosen process of a guest", async () => {
  const started = await host.startScript({ vmId, runId: "one", script: "sleep 621; echo $?" });
  await expect.poll(async () => host.killProcesses(vmId, "sleep 621"), eventually).toBe(1);
  expect(await started.finished).toMatchObject({ state: "Succeeded" });
  expect((await started.readTail()).output).toBe("137\n");
});

it("adopts after a restart what should run and ends the rest", async () => {
  await host.startScript({ vmId, runId: "one", script: "sleep 0.4; echo survived; exit 3" });
  await host.startScript({ vmId: "gone", runId: "one", script: "exec sleep 631" });
  const second = await openHost();
  await second.adopt([vmId]);
  expect(await second.listProcesses("gone")).toEqual([]);
  const adopted = await second.adoptScript(vmId, "one");
  expect(await adopted?.finished).toMatchObject({ state: "Failed", exitCode: 3 });
  expect((await adopted?.readTail())?.output).toBe("survived\n");
  expect(await second.adoptScript(vmId, "never")).toBeUndefined();
});

it("answers for systemd and apt as an isolated container does", async () => {
  const result = await run(
    "systemctl start x; echo $?; apt-get update; echo $?; poweroff; echo $?",
  );
  expect(result.output).toBe("1\n100\n1\n");
  expect(result.error).toContain("System has not been booted with systemd as init system (PID 1)");
});

it("has a curl where the machine has none", async () => {
  let requests = 0;
  const server = createServer((request, response) => {
    requests++;
    if (request.url === "/moved") response.writeHead(302, { location: "/file" }).end();
    else if (request.url === "/busy" && requests < 3) response.writeHead(503).end();
    else if (request.url === "/missing") response.writeHead(404).end("no");
    else response.end(`payload ${String(request.headers["x-a"] ?? "")}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const curl = join(import.meta.dirname, "../../../../local/vm-host/guest-bin/curl");
  const env = {
    PATH: "/usr/bin:/bin",
    LOCAL_AZURE_NO_CURL: "1",
    LOCAL_AZURE_NODE: process.execPath,
  };
  const call = async (...args: string[]) => promisify(execFile)(curl, args, { env });
  try {
    const target = join(directory, "out");
    await call("-fsSL", "--max-time", "20", "-o", target, `${url}/moved`);
    expect(await readFile(target, "utf8")).toBe("payload ");
    requests = 0;
    const retried = await call(
      "-fsS",
      "--retry",
      "3",
      "--retry-delay",
      "0",
      "-H",
      "x-a: b",
      `${url}/busy`,
    );
    expect(retried.stdout).toBe("payload b");
    await expect(call("-fsSL", `${url}/missing`)).rejects.toMatchObject({ code: 22 });
    await expect(call("--no-such-option", url)).rejects.toMatchObject({ code: 2 });
  } finally {
    server.close();
  }
});

it("leaves nothing of a guest that is removed while a script of it starts", async () => {
  const starting = host.startScript({ vmId, runId: "late", script: "#!/bin/sh\nsleep 60" });
  await Promise.all([starting, host.remove(vmId)]);
  expect(await host.listProcesses(vmId)).toEqual([]);
  await expect(stat(host.directoryOf(vmId).path)).rejects.toThrow(/ENOENT/);
  await expect(
    host.startScript({ vmId, runId: "later", script: "#!/bin/sh\nsleep 60" }),
  ).rejects.toThrow(/gone/);
  await expect(stat(host.directoryOf(vmId).path)).rejects.toThrow(/ENOENT/);
});
