import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { INSTALL_SCRIPT } from "#core/workers/install-script.ts";

const unit = readFileSync("worker-agent/agent.service", "utf8");
const lines = unit.split("\n").map((line) => line.trim());

describe("the agent's systemd unit", () => {
  it.each([
    "NoNewPrivileges=true",
    "DynamicUser=true",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=true",
    "PrivateTmp=true",
    "PrivateDevices=true",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    "SystemCallFilter=~@privileged",
    "MemoryMax=85%",
    "LimitCORE=0",
    "UMask=0077",
  ])("has %s", (line) => {
    expect(lines).toContain(line);
  });

  it("starts the agent as the install script does without systemd, and as its memory is measured", () => {
    const variables = lines.filter((line) => line.startsWith("Environment=")).join(" ");
    const [, options = ""] = /^ExecStart=\S+ (.*) \S+$/m.exec(unit) ?? [];
    expect([variables, options]).toEqual([
      "Environment=MALLOC_ARENA_MAX=2",
      "--max-semi-space-size=4",
    ]);
    expect(INSTALL_SCRIPT).toContain(
      `MALLOC_ARENA_MAX=2 setsid "$root/current/bin/node" ${options} `,
    );
    const measured = readFileSync("bench/holdfast-run.ts", "utf8");
    expect(measured).toContain(`AGENT_OPTIONS = ["${options}"]`);
    expect(measured).toContain('AGENT_ENVIRONMENT = { MALLOC_ARENA_MAX: "2" }');
  });

  it("does not start by itself: a VM that is started again gets its agent anew", () => {
    expect(lines).not.toContain("[Install]");
  });

  it("is good in the eyes of systemd, where it is installed", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "holdfast-unit-"));
    try {
      const file = path.join(folder, "holdfast-agent.service");
      // The program is not on this machine: a shell stands in for it.
      writeFileSync(file, unit.replace(/^ExecStart=\S+/m, "ExecStart=/bin/sh"));
      const verified = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
      const isInstalled = verified.error === undefined;
      expect(isInstalled ? [verified.status, verified.stderr] : [0, ""]).toEqual([0, ""]);
      const rated = spawnSync(
        "systemd-analyze",
        ["security", "--offline=true", "--threshold=20", "--no-pager", file],
        { encoding: "utf8" },
      );
      // `--offline` came with systemd 250; the threshold is an exposure of 2.0 of 10.
      const isRated = isInstalled && !/unrecognized option/.test(rated.stderr);
      expect(isRated ? [rated.status, rated.stdout.match(/exposure level.*/)?.[0]] : [0]).toEqual(
        isRated ? [0, expect.stringMatching(/ OK /)] : [0],
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
