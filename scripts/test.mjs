/**
 * `npm test`: static checks, build, all tests but those of `test/scale`. The last line is `N passed, N failed`, where the checks
 * and the build count as one test each; the exit code is 1 on any failure. Arguments go to vitest, and
 * then only the tests that they name run. With `--scale` the tests of `test/scale` run instead, alone.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runStaticChecks, runStep } from "./static-checks.mjs";
import { buildWhenStale } from "./stale-build.mjs";

/** @returns {Promise<{ passed: number, failed: number }>} */
async function runVitest(filters) {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-test-"));
  const reportFile = join(folder, "report.json");
  try {
    const succeeded = await runStep("tests", [
      "vitest",
      "run",
      ...(isScale ? ["--config", "vitest.scale.config.ts"] : []),
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${reportFile}`,
      ...filters,
    ]);
    return countTests(reportFile, succeeded);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function countTests(reportFile, succeeded) {
  let report;
  try {
    report = JSON.parse(readFileSync(reportFile, "utf8"));
  } catch (error) {
    console.error(`There is no report of the tests: ${error.message}`);
    return { passed: 0, failed: 1 };
  }
  const { numPassedTests: passed, numTotalTests: total } = report;
  // A test file that cannot be loaded has no tests, and an error outside tests fails none.
  const failed = Math.max(total - passed, succeeded ? 0 : 1);
  return { passed, failed };
}

const isScale = process.argv[2] === "--scale";
const filters = process.argv.slice(isScale ? 3 : 2);
const startedAt = performance.now();
const results = [];
if (filters.length === 0 && !isScale) results.push(await runStaticChecks());
const built = buildWhenStale(process.execPath);
results.push({ passed: built ? 1 : 0, failed: built ? 0 : 1 });
results.push(await runVitest(filters));
const passed = results.reduce((sum, result) => sum + result.passed, 0);
const failed = results.reduce((sum, result) => sum + result.failed, 0);
console.log(`total ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
