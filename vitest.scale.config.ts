import { defineConfig } from "vitest/config";

/** `npm run test:scale`: tests that take minutes each with the machine to themselves. */
export default defineConfig({
  test: {
    include: ["test/scale/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 1,
    hookTimeout: 120_000,
  },
});
