import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  INSTALL_SCRIPT,
  installParametersOf,
  installSecretsOf,
} from "#core/workers/install-script.ts";

const SECRET = "s".repeat(43);

describe("install script", () => {
  let folder: string;
  let archive: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), "holdfast-install-"));
    const content = path.join(folder, "content");
    mkdirSync(path.join(content, "bin"), { recursive: true });
    mkdirSync(path.join(content, "lib"));
    // Stands in for the Node binary of a bundle: notes what it was started with, and stays.
    const program = `#!/bin/sh\nenv | grep ^HOLDFAST_ > "$HOLDFAST_TEST_SEEN"\nexec sleep 30\n`;
    writeFileSync(path.join(content, "bin/node"), program, { mode: 0o755 });
    writeFileSync(path.join(content, "lib/agent.mjs"), "");
    mkdirSync(path.join(folder, "path"));
    archive = path.join(folder, "bundle.tar.gz");
    spawnSync("tar", ["-czf", archive, "-C", content, "."]);
    writeRelease('ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n');
    writeUname("x86_64");
    // Stands in for curl: the address comes on standard input, the file goes where it is told.
    writeFileSync(
      path.join(folder, "path/curl"),
      `#!/bin/bash\nprintf '%s ' "$@" > "${folder}/curl-arguments"\ncat > "${folder}/curl-input"\nwhile [ $# -gt 0 ]; do if [ "$1" = --output ]; then cp "${archive}" "$2"; fi; shift; done\n`,
      { mode: 0o755 },
    );
  });
  afterEach(() => {
    try {
      process.kill(Number(readFileSync(path.join(folder, "root/agent.pid"), "utf8")));
    } catch {
      // The agent was never started in this test.
    }
    rmSync(folder, { recursive: true, force: true });
  });

  function writeRelease(text: string): void {
    writeFileSync(path.join(folder, "os-release"), text);
  }

  function writeUname(machine: string): void {
    const file = path.join(folder, "path/uname");
    writeFileSync(file, `#!/bin/sh\necho ${machine}\n`, { mode: 0o755 });
  }

  function install(
    fields: Partial<{ sizeBytes: number; sha256: string; md5: string; id: string }>,
    updateMirrorUrl?: string,
  ) {
    const bytes = readFileSync(archive);
    const digest = (name: string): string => createHash(name).update(bytes).digest("hex");
    const bundle = {
      version: "1.2.3",
      sizeBytes: bytes.length,
      sha256: digest("sha256"),
      md5: digest("md5"),
      ...fields,
    };
    const parameters = installParametersOf({
      bundle,
      settings: { HOLDFAST_WORKER_ID: fields.id ?? "worker-1" },
      updateMirrorUrl,
    });
    const secrets = installSecretsOf({
      bundleUrl: "https://staging.example/bundle?sig=urlsecret",
      workerSecret: SECRET,
    });
    return spawnSync("bash", ["-s"], {
      input: INSTALL_SCRIPT,
      encoding: "utf8",
      env: {
        PATH: `${path.join(folder, "path")}:${process.env["PATH"] ?? ""}`,
        HOLDFAST_ROOT: path.join(folder, "root"),
        HOLDFAST_TEST_SEEN: path.join(folder, "seen"),
        HOLDFAST_APT: path.join(folder, "apt"),
        HOLDFAST_OS_RELEASE: path.join(folder, "os-release"),
        ...parameters,
        ...secrets,
      },
    });
  }

  it("is valid bash and holds no value of its own", () => {
    expect(spawnSync("bash", ["-n"], { input: INSTALL_SCRIPT }).status).toBe(0);
    expect(INSTALL_SCRIPT).toContain("set -euo pipefail");
    expect(INSTALL_SCRIPT).not.toMatch(/https?:\/\/\w/);
  });

  it("unpacks a bundle that is what it should be, and starts the agent", () => {
    const done = install({});
    expect([done.status, done.stderr]).toEqual([0, ""]);
    expect(done.stdout).toMatch(/^holdfast agent 1\.2\.3 runs as process \d+\n$/);
    const environment = path.join(folder, "root/agent.env");
    expect(statSync(environment).mode & 0o777).toBe(0o600);
    expect(readFileSync(environment, "utf8")).toContain(`HOLDFAST_WORKER_SECRET="${SECRET}"`);
    const seen = readFileSync(path.join(folder, "seen"), "utf8");
    expect(seen).toContain("HOLDFAST_WORKER_ID=worker-1");
    expect(seen).not.toContain("urlsecret");
    expect(readFileSync(path.join(folder, "curl-arguments"), "utf8")).not.toContain("urlsecret");
    expect(done.stdout).not.toContain(SECRET);
    const first = readFileSync(path.join(folder, "root/agent.pid"), "utf8");
    expect(install({}).status).toBe(0);
    expect(readFileSync(path.join(folder, "root/agent.pid"), "utf8")).not.toBe(first);
  });

  it.each([
    ["size", { sizeBytes: 1 }, /has \d+ bytes, not 1/],
    ["MD5", { md5: "0".repeat(32) }, /MD5 of the bundle is wrong/],
    ["SHA-256", { sha256: "0".repeat(64) }, /SHA-256 of the bundle is wrong/],
  ])("executes nothing of a bundle whose %s is wrong", (_name, fields, expected) => {
    const done = install(fields);
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(expected);
    expect(() => statSync(path.join(folder, "seen"))).toThrow();
    expect(() => statSync(path.join(folder, "root/current"))).toThrow();
  });

  it("executes nothing of a bundle of which one byte was changed after it was described", () => {
    const bytes = readFileSync(archive);
    const described = {
      sizeBytes: bytes.length,
      md5: createHash("md5").update(bytes).digest("hex"),
      sha256: createHash("sha256").update(bytes).digest("hex"),
    };
    const middle = Math.floor(bytes.length / 2);
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
    writeFileSync(archive, bytes);
    const done = install(described);
    expect([done.status, done.stdout]).toEqual([1, ""]);
    expect(done.stderr).toMatch(/MD5 of the bundle is wrong/);
    // Somebody who made the MD5 fit is stopped by the other sum.
    const fitting = { ...described, md5: createHash("md5").update(bytes).digest("hex") };
    expect(install(fitting).stderr).toMatch(/SHA-256 of the bundle is wrong/);
    expect(() => statSync(path.join(folder, "seen"))).toThrow();
  });

  it.each([
    ["ID=ubuntu\nVERSION_ID=22.04\n", "x86_64", undefined],
    ["ID=ubuntu\nVERSION_ID=20.04\n", "x86_64", "ubuntu 20.04 x86_64"],
    ['ID=debian\nVERSION_ID="12"\n', "x86_64", "debian 12 x86_64"],
    ["ID=ubuntu\nVERSION_ID=24.04\n", "aarch64", "ubuntu 24.04 aarch64"],
    ["NAME=nothing\n", "x86_64", "this image is   x86_64"],
  ])(
    "on a machine with %j, %s, downloads nothing unless the agent runs there",
    (release, machine, told) => {
      writeRelease(release);
      writeUname(machine);
      const done = install({});
      expect(done.status).toBe(told === undefined ? 0 : 1);
      if (told === undefined) return;
      expect(done.stderr).toContain(told);
      expect(done.stderr).toContain("workers need Ubuntu 22.04 or 24.04 LTS");
      expect(() => statSync(path.join(folder, "curl-input"))).toThrow();
    },
  );

  it("takes security updates from the operator's mirror and from nowhere else", () => {
    const apt = path.join(folder, "apt");
    mkdirSync(path.join(apt, "sources.list.d"), { recursive: true });
    writeFileSync(path.join(apt, "sources.list.d/ubuntu.sources"), "URIs: http://archive.example");
    expect(install({}, "http://mirror.example/ubuntu").status).toBe(0);
    expect(readdirSync(path.join(apt, "sources.list.d"))).toEqual(["holdfast.sources"]);
    expect(readFileSync(path.join(apt, "sources.list.d/holdfast.sources"), "utf8")).toBe(
      [
        "Types: deb",
        "URIs: http://mirror.example/ubuntu",
        "Suites: noble noble-updates noble-security",
        "Components: main universe",
        "Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n",
      ].join("\n"),
    );
    const settings = readFileSync(path.join(apt, "apt.conf.d/99holdfast-updates"), "utf8");
    expect(settings).toContain('{ "${distro_id}:${distro_codename}-security"; }');
    expect(settings).toContain('Unattended-Upgrade::Automatic-Reboot "false"');
  });

  it("leaves the sources of packages alone without a mirror, and masks the timers", () => {
    expect(install({}).status).toBe(0);
    expect(() => statSync(path.join(folder, "apt"))).toThrow();
    expect(INSTALL_SCRIPT).toContain("systemctl mask --quiet --now $updates");
  });

  it.each(["ftp://mirror.example/", "http://mirror.example/$(touch x)"])(
    "starts nothing when the mirror is %s",
    (url) => {
      const done = install({}, url);
      expect(done.status).toBe(1);
      expect(done.stderr).toContain("the mirror for updates is no");
    },
  );

  it("refuses a setting that could become code", () => {
    const done = install({ id: "$(touch x)" });
    expect(done.status).toBe(1);
    expect(done.stderr).toContain("HOLDFAST_WORKER_ID");
  });
});
