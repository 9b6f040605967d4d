import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
// @ts-expect-error -- a plain script: it runs under a Node that knows no types
import { buildAgentBundle } from "../../../scripts/build-agent-bundle.mjs";

interface Description {
  readonly version: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly md5: string;
}

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-bundle-"));
  await writeFile(join(folder, "node"), "#!/bin/sh\necho node\n".repeat(1000));
  await writeFile(join(folder, "tool.sh"), "#!/bin/sh\n");
  await writeFile(join(folder, "agent.service"), "[Unit]\n");
  await writeFile(join(folder, "agent.mjs"), "console.log(1);\n");
  await writeFile(join(folder, "encoder-thread.mjs"), "x".repeat(512));
});
afterEach(() => rm(folder, { recursive: true }));

function build(): Promise<Description> {
  return buildAgentBundle({
    outFolder: folder,
    libraries: ["encoder-thread.mjs", "agent.mjs"],
    serviceFile: join(folder, "agent.service"),
    otherFiles: [{ name: "bin/tool", file: join(folder, "tool.sh"), mode: 0o755 }],
    nodeBinary: join(folder, "node"),
    packageVersion: "1.2.3",
  });
}

const archive = () => join(folder, "holdfast-agent.tar.gz");

test("tar unpacks what was put in, and the description fits", async () => {
  const described = await build();
  const bytes = await readFile(archive());
  expect(described.sizeBytes).toBe(bytes.length);
  expect(described.sha256).toBe(createHash("sha256").update(bytes).digest("hex"));
  expect(described.md5).toBe(createHash("md5").update(bytes).digest("hex"));
  expect(described.version).toMatch(/^1\.2\.3-[0-9a-f]{12}$/);
  expect(described.name).toContain(described.version);

  const target = join(folder, "unpacked");
  execFileSync("mkdir", [target]);
  execFileSync("tar", ["-xzf", archive(), "-C", target]);
  const listed = execFileSync("tar", ["-tzf", archive()], { encoding: "utf8" }).trim().split("\n");
  expect(listed.toSorted()).toEqual([
    "VERSION",
    "agent.service",
    "bin/node",
    "bin/tool",
    "lib/agent.mjs",
    "lib/encoder-thread.mjs",
  ]);
  const node = join(target, "bin", "node");
  expect((await readFile(node)).equals(await readFile(join(folder, "node")))).toBe(true);
  expect((await stat(node)).mode & 0o111).toBe(0o111);
  expect((await stat(join(target, "bin", "tool"))).mode & 0o111).toBe(0o111);
  expect((await stat(join(target, "lib", "agent.mjs"))).mode & 0o111).toBe(0);
  expect(await readFile(join(target, "VERSION"), "utf8")).toBe(`${described.version}\n`);
});

test("equal inputs make equal bytes; another agent makes another version", async () => {
  const first = await build();
  await rm(archive());
  await rm(join(folder, ".node.json"));
  expect(await build()).toEqual(first);
  await writeFile(join(folder, "agent.mjs"), "console.log(2);\n");
  const second = await build();
  expect(second.version).not.toBe(first.version);
  expect(second.name).not.toBe(first.name);
});

test("what is up to date is left as it is, what was spoilt is made again", async () => {
  const first = await build();
  const { mtimeMs } = await stat(archive());
  await build();
  expect((await stat(archive())).mtimeMs).toBe(mtimeMs);
  await writeFile(archive(), "short");
  expect(await build()).toEqual(first);
  expect((await stat(archive())).size).toBe(first.sizeBytes);
});
