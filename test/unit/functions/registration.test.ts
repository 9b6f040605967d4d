import { execFile } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ACTIVITY_INPUTS } from "#functions/activities/activity-inputs.ts";
import { ENTITIES, ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { ENDPOINTS } from "#functions/triggers/all-endpoints.ts";
import { TEST_SETTINGS } from "./test-world.ts";

/** Loads the app as the host's worker does, and prints what it registers. */
const LOADER = `
import Module from "node:module";
const found = [];
class Disposable { dispose() {} static from() { return new Disposable(); } }
const core = {
  version: "1", hostVersion: "4", setProgrammingModel() {}, getProgrammingModel() {}, log() {},
  registerHook: () => new Disposable(), Disposable,
  registerFunction: (metadata) => {
    const [trigger] = Object.values(metadata.bindings).filter((each) => /trigger$/i.test(each.type));
    found.push({ ...trigger, name: metadata.name });
    return new Disposable();
  },
};
const original = Module.prototype.require;
Module.prototype.require = function (id) {
  return id === "@azure/functions-core" ? core : original.call(this, id);
};
await import(process.argv[2]);
console.log(JSON.stringify(found));
process.exit(0);
`;

describe("the bundled app", () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "holdfast-app-"));
    copyFileSync("host.json", path.join(folder, "host.json"));
    writeFileSync(path.join(folder, "loader.mjs"), LOADER);
    await build({
      entryPoints: ["functions/main.ts"],
      outfile: path.join(folder, "dist/functions/main.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node22",
      external: ["@azure/functions-core"],
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
      },
      logLevel: "error",
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const load = (env: Record<string, string>): Promise<{ stdout: string }> =>
    promisify(execFile)(
      process.execPath,
      [path.join(folder, "loader.mjs"), path.join(folder, "dist/functions/main.mjs")],
      { env },
    );

  it("registers every function, each name once", async () => {
    const { stdout } = await load(TEST_SETTINGS);
    const found = JSON.parse(stdout) as Record<string, string>[];
    const names = found.map((each) => each["name"]);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(names)).toEqual(
      new Set([
        ...Object.keys(ACTIVITY_INPUTS),
        ...Object.values(ORCHESTRATORS),
        ...Object.values(ENTITIES),
        ...ENDPOINTS.map((endpoint) => endpoint.name),
        "schedule-tick",
        "sweep-tick",
        "worker-events",
      ]),
    );
    expect(found.find((each) => each["name"] === "worker-events")).toMatchObject({
      type: "queueTrigger",
      queueName: "worker-events",
      connection: "HOLDFAST_STORAGE",
    });
    expect(found.find((each) => each["name"] === "schedule-tick")).toMatchObject({
      schedule: "%HOLDFAST_SCHEDULE_TICK%",
    });
    for (const each of found)
      if (each["type"] === "httpTrigger") expect(each["authLevel"]).toBe("anonymous");
  });

  it("does not start with wrong settings, and names them", async () => {
    await expect(load({ ...TEST_SETTINGS, HOLDFAST_MASTER_KEY: "x" })).rejects.toThrow(
      /HOLDFAST_MASTER_KEY/,
    );
  });
});
