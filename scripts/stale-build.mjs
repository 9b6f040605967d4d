import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stampFile = join(root, "dist", ".holdfast-build");
/** What the bundles in dist/ are made of. */
const inputs = [
  "core",
  "azure",
  "functions",
  "worker-agent",
  "cli",
  "scripts",
  "package-lock.json",
];

/** @returns {string | undefined} */
export function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

/** @returns {string} lower-case hex */
export function sha256(content) {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * Runs scripts/build.mjs with the given Node when a source file changed since the last build.
 *
 * @param {string} node
 * @returns {boolean} whether dist/ is current now
 */
export function buildWhenStale(node) {
  const wanted = describeInputs();
  if (readIfThere(stampFile) === wanted) return true;
  console.error("Building dist/ ...");
  // Standard output belongs to the program that is going to run.
  const { status } = spawnSync(node, [join(root, "scripts", "build.mjs")], {
    cwd: root,
    stdio: ["inherit", 2, 2],
  });
  if (status !== 0) return false;
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, wanted);
  return true;
}

function describeInputs() {
  const states = [];
  for (const input of inputs) {
    for (const file of filesBelow(join(root, input))) {
      const { size, mtimeMs } = statSync(file);
      states.push(`${file} ${size} ${mtimeMs}`);
    }
  }
  return sha256(states.join("\n"));
}

function* filesBelow(path) {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory()) {
    yield path;
    return;
  }
  for (const name of readdirSync(path).sort()) yield* filesBelow(join(path, name));
}
