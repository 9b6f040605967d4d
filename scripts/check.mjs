/** `npm run check`: the static checks. Last line `N passed, N failed`; exit code 1 on any failure. */
import { runStaticChecks } from "./static-checks.mjs";

const { passed, failed } = await runStaticChecks();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
