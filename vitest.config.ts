import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * The end-to-end files take minutes each, and some others half a minute: started last, one of them would
 * run alone at the end.
 */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const ranks = [
      /\/e2e\/(private-network|faults)/,
      /\/e2e\//,
      /\/every-bit|\/roles\/|\/stack\/|\/restart/,
      /crash|termination|image-formats|durable/,
      /^/,
    ];
    const rankOf = ({ moduleId }: TestSpecification) =>
      ranks.findIndex((part) => part.test(moduleId));
    return files.toSorted((left, right) => rankOf(left) - rankOf(right));
  }
}

/**
 * Files that leave nothing behind in their process: no environment, no mocks, no clock; at most the
 * authority of a server that is gone. One worker runs many of them, and loads once what they share.
 */
const sharing = [
  "test/unit/{core,functions,azure,cli,worker-agent}/**/*.test.ts",
  "test/integration/{resource-manager,compute}/**/*.test.ts",
];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    // More than the two cores that the suite is made for: end-to-end tests mostly wait.
    maxWorkers: 5,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: "alone",
          include: ["test/**/*.test.ts"],
          exclude: ["test/scale/**", ...sharing],
        },
      },
      { extends: true, test: { name: "sharing", include: sharing, isolate: false } },
    ],
  },
});
