import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  copyOf,
  newRepositoryFolder,
  password,
  run,
  type RepositoryFolder,
} from "./repository-folder.ts";

let folder: RepositoryFolder;
beforeAll(async () => {
  folder = await newRepositoryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

const repo = (...args: string[]): string[] => ["repo", ...args, "--repository", folder.path];
const unlocked = { environment: { HOLDFAST_REPOSITORY_PASSWORD: password } };

describe("results", () => {
  test("ls shows restore points by VM and time", async () => {
    const { exitCode, output, errors } = await run(repo("ls"), unlocked);
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
    expect(output.split("\n")).toEqual([
      "VM ID  NAME   KIND   ID  TAKEN                     DISKS     SIZE",
      "vm-1   web-1  point  p1  2026-02-01T00:00:00.000Z      1  3.0 MiB",
      "vm-1   web-1  point  p2  2026-02-02T00:00:00.000Z      2  516 MiB",
    ]);
  });

  test("ls --json names every disk, and --vm limits", async () => {
    const { output } = await run(repo("ls", "--json"), unlocked);
    expect(JSON.parse(output)).toMatchObject({
      points: [
        { vmId: "vm-1", vmName: "web-1", pointId: "p1" },
        {
          pointId: "p2",
          disks: [
            { slot: "os", diskId: "disk-os" },
            { slot: 3, diskId: "disk-data" },
          ],
        },
      ],
      unreadable: [],
    });
    const other = await run(repo("ls", "--vm", "vm-2"), unlocked);
    expect(other).toMatchObject({ exitCode: 0, output: "No restore points." });
  });

  test("info describes the repository", async () => {
    const { output } = await run(repo("info", "--json"), unlocked);
    expect(JSON.parse(output)).toMatchObject({
      formatVersion: 1,
      encryption: "aes-256-gcm",
      vmCount: 1,
      pointCount: 2,
      archiveCount: 0,
      diskCount: 2,
      keySlots: [{ slotId: "password-1", type: "scrypt" }],
    });
    const table = await run(repo("info"), unlocked);
    expect(table.output).toMatch(/^Encryption {6}aes-256-gcm$/m);
    expect(table.output).toMatch(/^packs +\d+ +[\d.]+ MiB$/m);
  });

  test("info of a point shows disks and the VM's whole configuration", async () => {
    const { output } = await run(repo("info", "vm-1", "p2", "--json"), unlocked);
    expect(JSON.parse(output)).toMatchObject({
      takenAt: "2026-02-02T00:00:00.000Z",
      disks: [
        { slot: "os", diskId: "disk-os", name: "os", backup: "full" },
        { slot: 3, diskId: "disk-data", sizeBytes: folder.contents.data.length },
      ],
      vm: { name: "web-1", vmSize: "Standard_D2s_v5", osDisk: { skuName: "Premium_LRS" } },
    });
    const table = await run(repo("info", "vm-1", "p2"), unlocked);
    expect(table.output).toContain('"vmSize": "Standard_D2s_v5"');
  });

  test("cat writes the asked bytes of a disk, by id or by place", async () => {
    const { os, data } = folder.contents;
    const whole = await run(repo("cat", "vm-1", "p2", "disk-os"), unlocked);
    expect(whole.bytes.equals(os)).toBe(true);
    const places: [string, Buffer, number, number][] = [
      ["os", os, 5000, 1],
      ["os", os, os.length - 513, 513],
      ["3", data, 512 * 1024 * 1024 - 7000, 9000],
      ["disk-data", data, data.length - 1, 1],
      ["os", os, 0, 0],
    ];
    for (const [disk, content, offset, length] of places) {
      const range = ["--offset", String(offset), "--length", String(length)];
      const { bytes } = await run(repo("cat", "vm-1", "p2", disk, ...range), unlocked);
      expect(bytes.equals(content.subarray(offset, offset + length))).toBe(true);
    }
  });
});

describe("secrets", () => {
  test("come from a file, the environment or a prompt", async () => {
    const fromFile = await run(repo("ls", "--password-file", folder.passwordFile));
    expect(fromFile.exitCode).toBe(0);
    const asked: string[] = [];
    const fromPrompt = await run(repo("ls"), {
      askSecret: async (question) => {
        asked.push(question);
        return password;
      },
    });
    expect(fromPrompt.exitCode).toBe(0);
    expect(asked).toEqual(["Password of the repository: "]);
  });

  test("without one and without a terminal it says how to give one", async () => {
    const { exitCode, errors } = await run(repo("ls"));
    expect(exitCode).toBe(2);
    expect(errors).toContain("--password-file");
  });

  test("a wrong one is said in one line, without repeating it", async () => {
    const environment = { HOLDFAST_REPOSITORY_PASSWORD: "battery staple" };
    const { exitCode, errors } = await run(repo("ls"), { environment });
    expect(exitCode).toBe(1);
    expect(errors).toMatch(/^holdfast: No key slot of the repository opens .*$/);
    expect(errors).not.toContain("battery");
  });

  test("two of them, or a file that is not there, are wrong usage", async () => {
    const environment = {
      HOLDFAST_REPOSITORY_PASSWORD: password,
      HOLDFAST_REPOSITORY_RECOVERY_KEY: "x",
    };
    expect(await run(repo("ls"), { environment })).toMatchObject({ exitCode: 2 });
    const missing = await run(repo("ls", "--password-file", "/nowhere/password"));
    expect(missing.exitCode).toBe(2);
    expect(missing.errors).toContain("ENOENT");
  });

  test("an unencrypted repository needs none and refuses one", async () => {
    await using open = await newRepositoryFolder({ kind: "none" });
    const args = ["repo", "ls", "--repository", open.path];
    expect((await run(args)).exitCode).toBe(0);
    const { exitCode, errors } = await run(args, unlocked);
    expect(exitCode).toBe(1);
    expect(errors).toContain("not encrypted");
  });
});

describe("what is not as it should be", () => {
  const in_ = (path: string, ...args: string[]) => ["repo", ...args, "--repository", path];

  test("a folder without a repository, and one of somebody else", async () => {
    const empty = await run(in_(join(folder.directory, "nothing"), "ls"), unlocked);
    expect(empty).toMatchObject({ exitCode: 1, output: "" });
    expect(empty.errors).toContain("There is no repository in this folder");
    const foreign = await copyOf(folder, "foreign");
    await writeFile(join(foreign, "repo.json"), '{"name":"something else"}');
    const { exitCode, errors } = await run(in_(foreign, "ls"), unlocked);
    expect(exitCode).toBe(1);
    expect(errors).toContain("does not belong to a repository");
  });

  test("a newer format is named", async () => {
    const newer = await copyOf(folder, "newer");
    const file = join(newer, "repo.json");
    const text = await readFile(file, "utf8");
    await rm(file);
    await writeFile(file, text.replace(/"formatVersion":\s*1/, '"formatVersion": 2'));
    const { exitCode, errors } = await run(in_(newer, "ls"), unlocked);
    expect(exitCode).toBe(1);
    expect(errors).toContain("has format 2");
  });

  test("a VM, point or disk that is not there", async () => {
    const point = await run(repo("info", "vm-1", "p9"), unlocked);
    expect(point.exitCode).toBe(1);
    expect(point.errors).toContain("p9");
    const disk = await run(repo("cat", "vm-1", "p1", "disk-data"), unlocked);
    expect(disk.exitCode).toBe(1);
    expect(disk.errors).toContain("It holds: disk-os (os)");
  });

  test("a damaged manifest is a finding; the others are shown", async () => {
    const spoilt = await copyOf(folder, "spoilt");
    const file = join(spoilt, "vms", "vm-1", "points", "p1.manifest");
    const bytes = await readFile(file);
    bytes.fill(7, 70);
    await writeFile(file, bytes);
    const { exitCode, output, errors } = await run(in_(spoilt, "ls"), unlocked);
    expect(exitCode).toBe(1);
    expect(output).toContain("p2");
    expect(errors).toContain("vms/vm-1/points/p1.manifest cannot be read");
    const json = await run(in_(spoilt, "ls", "--json"), unlocked);
    expect(JSON.parse(json.output)).toMatchObject({
      points: [{ pointId: "p2" }],
      unreadable: [{ name: "vms/vm-1/points/p1.manifest" }],
    });
  });

  test("a lost pack stops cat before a wrong byte", async () => {
    const cut = await copyOf(folder, "cut");
    await rm(join(cut, "disks", "disk-os", "packs"), { recursive: true });
    const { exitCode, bytes, errors } = await run(in_(cut, "cat", "vm-1", "p2", "os"), unlocked);
    expect({ exitCode, written: bytes.length }).toEqual({ exitCode: 1, written: 0 });
    expect(errors).toMatch(/^holdfast: The repository is damaged: .*$/);
  });
});

describe("usage", () => {
  const wrong: [string, readonly string[]][] = [
    ["no repository", ["repo", "ls"]],
    ["an unknown command", ["repo", "mount"]],
    ["an unknown group", ["restore"]],
    ["an unknown option", ["repo", "ls", "--fast", "--repository", "x"]],
    ["too few arguments", ["repo", "cat", "vm-1", "--repository", "x"]],
    ["a VM without a point", ["repo", "info", "vm-1", "--repository", "x"]],
    ["plain http", ["repo", "ls", "--repository", "http://a.blob.core.windows.net/c"]],
    ["no container", ["repo", "ls", "--repository", "https://a.blob.core.windows.net/"]],
  ];
  for (const [name, args] of wrong) {
    test(`${name} is exit code 2 and one line`, async () => {
      const { exitCode, output, errors } = await run(args);
      expect({ exitCode, output }).toEqual({ exitCode: 2, output: "" });
      expect(errors).toMatch(/^holdfast: .+$/);
    });
  }

  test("a range behind the disk, or no number", async () => {
    const behind = repo("cat", "vm-1", "p1", "os", "--offset", "99999999999");
    expect(await run(behind, unlocked)).toMatchObject({ exitCode: 2 });
    const text = repo("cat", "vm-1", "p1", "os", "--offset", "0x10");
    expect(await run(text, unlocked)).toMatchObject({ exitCode: 2 });
  });

  test("a SAS in the address is refused and not repeated", async () => {
    const place = "https://a.blob.core.windows.net/c?sv=1&sig=topsecret";
    const { exitCode, errors } = await run(["repo", "ls", "--repository", place]);
    expect(exitCode).toBe(2);
    expect(errors).not.toContain("topsecret");
    const environment = { HOLDFAST_REPOSITORY_SAS: "topsecret" };
    const address = "https://a.blob.core.windows.net/c";
    const shapeless = await run(["repo", "ls", "--repository", address], { environment });
    expect(shapeless.exitCode).toBe(1);
    expect(shapeless.errors).not.toContain("topsecret");
  });

  test("help is on standard output", async () => {
    const all = await run(["--help"]);
    expect(all.exitCode).toBe(0);
    expect(all.output).toContain("export VM-ID POINT-ID DISK");
    const one = await run(["repo", "export", "--help"]);
    expect(one.exitCode).toBe(0);
    expect(one.output).toContain("usage: holdfast repo export");
  });
});
