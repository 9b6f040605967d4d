/**
 * Runs one of the project's programs from a clone that may lack everything:
 *
 *   node scripts/bootstrap.mjs [--build] PROGRAM [ARGUMENT]...
 *
 * 1. installs the dependencies when they are missing or do not fit package-lock.json,
 * 2. with --build, builds dist/ when a source file changed since the last build,
 * 3. runs PROGRAM (a path from the root of the project) with the Node that the dependencies bring.
 *
 * It runs under plain Node 20 and imports nothing but Node's own modules. It ends with PROGRAM's exit
 * code and passes signals on.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { buildWhenStale, readIfThere, root, sha256 } from "./stale-build.mjs";

const toolFolder = join(root, "node_modules", ".bin");
const installStamp = join(root, "node_modules", ".holdfast-install");
/** TypeScript and `await using` without flags, tls.setDefaultCACertificates. */
const oldestNode = { major: 24, minor: 5 };

function fail(message) {
  console.error(`bootstrap: ${message}`);
  process.exit(1);
}

function installWhenStale() {
  const wanted = sha256(readFileSync(join(root, "package-lock.json")));
  if (readIfThere(installStamp) === wanted) return;
  console.error("Installing dependencies ...");
  // npm must not run on a Node that it is about to replace.
  const path = (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => !folder.endsWith(join("node_modules", ".bin")))
    .join(delimiter);
  // Exactly the versions of the lock file, which is not written. Not `npm ci`: it refuses a lock file
  // without those optional packages for other platforms that the registry did not have.
  const { status, error } = spawnSync(
    "npm",
    ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    { cwd: root, env: { ...process.env, PATH: path }, stdio: ["inherit", 2, 2] },
  );
  if (error !== undefined) fail(`npm could not be started: ${error.message}`);
  if (status !== 0) fail(`npm install failed (exit code ${status}).`);
  writeFileSync(installStamp, wanted);
}

/** Node 24 from the dependencies; else the Node that runs this, if it is new enough. */
function findNode() {
  const brought = join(root, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  if (process.platform === "linux" && existsSync(brought)) return brought;
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > oldestNode.major || (major === oldestNode.major && minor >= oldestNode.minor)) {
    return process.execPath;
  }
  return fail(
    `Node ${oldestNode.major}.${oldestNode.minor} or later is needed and npm brought none for ` +
      `${process.platform}-${process.arch}; this is Node ${process.versions.node}. Install Node 24.`,
  );
}

function execute(node, program, args) {
  const child = spawn(node, [join(root, program), ...args], {
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: [toolFolder, process.env.PATH ?? ""].join(delimiter),
      NODE_NO_WARNINGS: "1",
    },
  });
  // A terminal sends Ctrl-C to both processes: this one only waits for the other's end.
  process.on("SIGINT", () => undefined);
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`${program} could not be started: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

const args = process.argv.slice(2);
const wantsBuild = args[0] === "--build";
if (wantsBuild) args.shift();
const [program, ...programArguments] = args;
if (program === undefined) {
  fail("usage: node scripts/bootstrap.mjs [--build] PROGRAM [ARGUMENT]...");
}
installWhenStale();
const node = findNode();
if (wantsBuild && !buildWhenStale(node)) fail("the build failed.");
execute(node, program, programArguments);
