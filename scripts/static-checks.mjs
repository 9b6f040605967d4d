import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./stale-build.mjs";

/** Named one by one: without names the type-aware pass of the linter walks node_modules. */
const folders = [
  "core",
  "azure",
  "functions",
  "worker-agent",
  "cli",
  "local",
  "bench",
  "scripts",
  "test",
  "vitest.config.ts",
].filter((name) => existsSync(join(root, name)));

const checks = [
  { name: "format", command: ["prettier", "--check", "--log-level", "warn", "."] },
  { name: "lint", command: ["oxlint", "--type-aware", "--deny-warnings", ...folders] },
  { name: "types", command: ["tsc", "-p", "."] },
  { name: "dead code", command: ["knip", "--no-progress"] },
];

/**
 * Runs a tool of node_modules/.bin and prints how long it took.
 *
 * @param {string} name what the line says
 * @param {string[]} command
 * @param {"inherit" | "held"} output held: printed in one piece when the tool has ended
 * @returns {Promise<boolean>} whether it ended with exit code 0
 */
export async function runStep(name, [tool, ...args], output = "inherit") {
  const startedAt = performance.now();
  const held = [];
  const succeeded = await new Promise((resolve, reject) => {
    const child = spawn(join(root, "node_modules", ".bin", tool), args, {
      cwd: root,
      stdio: output === "inherit" ? "inherit" : ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (part) => held.push(part));
    child.on("error", reject);
    child.on("close", (code) => resolve(code === 0));
  });
  process.stdout.write(Buffer.concat(held));
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${succeeded ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  return succeeded;
}

/**
 * Format, lint, types, dead code; all at once, because the longest of them keeps one core busy only.
 *
 * @returns {Promise<{ passed: number, failed: number }>} each check counts as one
 */
export async function runStaticChecks() {
  const results = await Promise.all(
    checks.map(({ name, command }) => runStep(name, command, "held")),
  );
  const passed = results.filter(Boolean).length;
  return { passed, failed: checks.length - passed };
}
