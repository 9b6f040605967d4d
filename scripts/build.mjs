/**
 * Builds dist/: the Functions app, the command line, the worker agent and the bundle that a worker
 * downloads, which holds the command line too.
 *
 *   node scripts/build.mjs [functions|cli|agent]...
 *
 * Runs under plain Node 20. Nothing is rebuilt but what changed takes time: the bundle's Node binary
 * is compressed once per binary (build-agent-bundle.mjs).
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { buildAgentBundle } from "./build-agent-bundle.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Threads of the block codec load a file of their own, which lies beside the program. */
const ENCODER_THREAD = "core/repository/codec/encoder-thread.ts";

/** Packages written as CommonJS call `require` for Node's own modules: ES modules have none. */
const banner = `import { createRequire as holdfastCreateRequire } from "node:module";
const require = holdfastCreateRequire(import.meta.url);`;

/** @param {{ entries: Record<string, string>, outFolder: string }} target */
async function bundle({ entries, outFolder }) {
  await build({
    absWorkingDir: root,
    entryPoints: entries,
    outdir: outFolder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node22",
    // Provided by the Functions host, which patches `require` for it.
    external: ["@azure/functions-core"],
    banner: { js: banner },
    sourcemap: "external",
    legalComments: "none",
    logLevel: "warning",
  });
}

async function buildFunctions() {
  await bundle({ entries: { main: "functions/main.ts" }, outFolder: "dist/functions" });
}

let cliBuild;
/** Once, whoever asks. */
async function buildCli() {
  const entries = { holdfast: "cli/main.ts", "encoder-thread": ENCODER_THREAD };
  cliBuild ??= bundle({ entries, outFolder: "dist/cli" });
  await cliBuild;
}

async function buildAgent() {
  const entries = { agent: "worker-agent/main.ts", "encoder-thread": ENCODER_THREAD };
  await Promise.all([bundle({ entries, outFolder: "dist/worker-agent" }), buildCli()]);
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const described = await buildAgentBundle({
    outFolder: join(root, "dist", "worker-agent"),
    libraries: Object.keys(entries).map((name) => `${name}.mjs`),
    serviceFile: join(root, "worker-agent", "agent.service"),
    otherFiles: [
      { name: "lib/holdfast.mjs", file: join(root, "dist", "cli", "holdfast.mjs") },
      { name: "bin/holdfast", file: join(root, "cli", "holdfast.sh"), mode: 0o755 },
    ],
    nodeBinary: findNodeBinary(),
    packageVersion: version,
  });
  console.error(`Worker bundle ${described.version}, ${described.sizeBytes} bytes.`);
}

/** The Node that npm brought for this machine, else the one that runs this. */
function findNodeBinary() {
  const brought = join(root, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  return existsSync(brought) ? brought : process.execPath;
}

const steps = { functions: buildFunctions, cli: buildCli, agent: buildAgent };
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(steps);
for (const name of wanted) {
  const step = steps[name];
  if (step === undefined) {
    console.error(`build: there is no "${name}"; say one of ${Object.keys(steps).join(", ")}.`);
    process.exit(1);
  }
}
await Promise.all(wanted.map((name) => steps[name]()));
