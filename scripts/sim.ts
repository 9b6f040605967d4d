/** `npm run sim -- --seed N [--runs K]`: simulations of the durable engine, one seed after the other. */
import { parseArgs } from "node:util";
import { runSimulation } from "../test/simulation/simulation.ts";

const { values } = parseArgs({
  options: { seed: { type: "string" }, runs: { type: "string", default: "100" } },
});
const firstSeed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const runCount =
  values.seed === undefined || process.argv.includes("--runs") ? Number(values.runs) : 1;
if (!Number.isInteger(firstSeed) || !Number.isInteger(runCount) || runCount < 1) {
  throw new Error("usage: npm run sim -- --seed N [--runs K]");
}

let crashCount = 0;
for (let seed = firstSeed; seed < firstSeed + runCount; seed += 1) {
  try {
    const report = await runSimulation(seed);
    crashCount += report.crashCount;
    if (runCount === 1) process.stdout.write(`${JSON.stringify(report)}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : ""}\n`);
    process.stderr.write(`again with: npm run sim -- --seed ${seed}\n`);
    process.exit(1);
  }
}
process.stdout.write(
  `seeds ${firstSeed} to ${firstSeed + runCount - 1}: all invariants held over ${crashCount} crashes\n`,
);
