import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

/**
 * House rules as a test. The linter checks what it can while one types; this checks the same arrows
 * on the whole tree, with relative paths resolved, so that a rule switched off in the linter's
 * configuration does not go unnoticed.
 */
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((name) => name !== "" && existsSync(join(root, name)));
const sources = files.filter((name) => /\.(ts|mts|mjs)$/.test(name));
const textOf = new Map(sources.map((name) => [name, readFileSync(join(root, name), "utf8")]));

interface Import {
  readonly from: string;
  /** Path inside the repository, or the package's name. */
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf(name: string): Import[] {
  const text = textOf.get(name) ?? "";
  const found: Import[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[2] ?? match[3];
    if (specifier === undefined) continue;
    found.push({ from: name, to: resolve(name, specifier), typeOnly: match[1] !== undefined });
  }
  return found;
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith("#")) return specifier.slice(1);
  if (specifier.startsWith(".")) return relative(root, join(root, dirname(from), specifier));
  return specifier;
}

const imports = sources.flatMap(importsOf);
const inFolder = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

interface Arrow {
  readonly rule: string;
  readonly why: string;
  readonly broken: (arrow: Import) => boolean;
}

const isProduct = (path: string) =>
  ["core", "azure", "functions", "worker-agent", "cli"].some((folder) => inFolder(path, folder));
const layers = ["core", "azure", "functions", "worker-agent", "cli", "local"];
const isOurs = (path: string) => layers.some((folder) => inFolder(path, folder));
const isSdkClient = (path: string) =>
  path.startsWith("@azure/") && path !== "@azure/functions" && path !== "@azure/core-auth";

const arrows: readonly Arrow[] = [
  {
    rule: "core imports nothing of ours outside core",
    why: "decisions are testable without Azure",
    broken: ({ from, to }) => inFolder(from, "core") && isOurs(to) && !inFolder(to, "core"),
  },
  {
    rule: "core/lib imports only core/lib",
    why: "it is the ground that all others stand on",
    broken: ({ from, to }) => inFolder(from, "core/lib") && isOurs(to) && !inFolder(to, "core/lib"),
  },
  {
    rule: "core knows no SDK and does no I/O",
    why: "the edge implements core/ports",
    broken: ({ from, to }) =>
      inFolder(from, "core") &&
      (to.startsWith("@azure/") ||
        to === "durable-functions" ||
        /^node:(fs|net|http|https|tls|child_process|os|dgram)/.test(to)),
  },
  {
    rule: "core starts no threads but for the block codec",
    why: "they compute and touch nothing outside; worker and command line share them",
    broken: ({ from, to }) =>
      inFolder(from, "core") &&
      !inFolder(from, "core/repository/codec") &&
      to === "node:worker_threads",
  },
  {
    rule: "the product never imports local/",
    why: "the simulator is for developers and tests",
    broken: ({ from, to }) => isProduct(from) && inFolder(to, "local"),
  },
  {
    rule: "control plane and worker agent never import each other",
    why: "they share core/protocol only and are deployed apart",
    broken: ({ from, to }) =>
      (inFolder(from, "functions") && inFolder(to, "worker-agent")) ||
      (inFolder(from, "worker-agent") && inFolder(to, "functions")),
  },
  {
    rule: "the command line and the other programs never import each other",
    why: "it works when nothing of a deployment is left",
    broken: ({ from, to }) => {
      const isProgram = (path: string) =>
        inFolder(path, "functions") || inFolder(path, "worker-agent");
      return (
        (inFolder(from, "cli") && isProgram(to)) ||
        (inFolder(to, "cli") && isProduct(from) && !inFolder(from, "cli"))
      );
    },
  },
  {
    rule: "functions never import core/repository",
    why: "only a worker opens a repository; the control plane keeps an index",
    broken: ({ from, to }) => inFolder(from, "functions") && inFolder(to, "core/repository"),
  },
  {
    rule: "azure/ is composed in composition roots only",
    why: "everything else takes a port",
    broken: ({ from, to }) =>
      inFolder(to, "azure") &&
      isProduct(from) &&
      !inFolder(from, "azure") &&
      !["functions/context.ts", "worker-agent/context.ts", "cli/context.ts"].includes(from),
  },
  {
    rule: "azure/ imports neither programs nor durable-functions",
    why: "adapters know ports, not who uses them",
    broken: ({ from, to }) =>
      inFolder(from, "azure") &&
      (inFolder(to, "functions") ||
        inFolder(to, "worker-agent") ||
        inFolder(to, "cli") ||
        to === "durable-functions" ||
        to === "@azure/functions"),
  },
  {
    rule: "SDK clients are imported in azure/ only (and in local/, which is not product)",
    why: "SDK errors and shapes are translated exactly once",
    broken: ({ from, to }) => isProduct(from) && !inFolder(from, "azure") && isSdkClient(to),
  },
  {
    rule: "core/repository is opened by the worker, the command line, azure/storage and tools only",
    why: "its bytes are the worker's business",
    broken: ({ from, to }) =>
      inFolder(to, "core/repository") &&
      isOurs(from) &&
      !["core/repository", "worker-agent", "cli", "azure/storage"].some((f) => inFolder(from, f)),
  },
  {
    rule: "the independent reader imports nothing but Node and itself",
    why: "it shows that the page of the format is enough to write a reader",
    broken: ({ from, to }) =>
      from.startsWith("test/vectors/repository/independent-") &&
      !to.startsWith("node:") &&
      !to.startsWith("test/vectors/repository/independent-"),
  },
  {
    rule: "orchestrators import core, names, types of activities and durable-functions only",
    why: "they are replayed: anything else may differ between replays",
    broken: ({ from, to, typeOnly }) =>
      inFolder(from, "functions/orchestrators") &&
      !typeOnly &&
      !(
        inFolder(to, "core") ||
        inFolder(to, "functions/orchestrators") ||
        /^functions\/(activities|entities|orchestrators)\/names\.ts$/.test(to) ||
        to === "functions/names.ts" ||
        to === "durable-functions" ||
        to === "@azure/functions" ||
        to === "zod"
      ),
  },
];

describe("import rules", () => {
  for (const arrow of arrows) {
    test(`${arrow.rule} (${arrow.why})`, () => {
      const broken = imports.filter(arrow.broken).map(({ from, to }) => `${from} -> ${to}`);
      expect(broken).toEqual([]);
    });
  }

  test("the check sees imports at all", () => {
    expect(imports.length).toBeGreaterThan(20);
    expect(imports.some(({ to }) => to === "core/lib/errors.ts")).toBe(true);
    const independent = imports.filter(({ from }) => from.includes("/independent-reader"));
    expect(independent.length).toBeGreaterThan(3);
  });
});

describe("house rules", () => {
  const codeOutsideTests = sources.filter((name) => !inFolder(name, "test"));

  test("no file of ours is longer than 400 lines", () => {
    const long = sources.filter((name) => (textOf.get(name) ?? "").split("\n").length > 401);
    expect(long).toEqual([]);
  });

  test("core takes time and randomness as arguments", () => {
    const impure = codeOutsideTests.filter(
      (name) =>
        inFolder(name, "core") &&
        /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\brandomBytes\(|\brandomUUID\(|\bprocess\./.test(
          withoutComments(textOf.get(name) ?? ""),
        ),
    );
    expect(impure).toEqual([]);
  });

  test("orchestrators read no clock and no randomness of their own", () => {
    const impure = codeOutsideTests.filter(
      (name) =>
        inFolder(name, "functions/orchestrators") &&
        /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\brandomUUID\(|\bprocess\.|\bawait\s+[\w(]/.test(
          withoutComments(textOf.get(name) ?? ""),
        ),
    );
    expect(impure).toEqual([]);
  });

  test("no test is skipped or narrowed", () => {
    const narrowed = sources.filter(
      (name) =>
        name !== "test/tidy.test.ts" &&
        /\b(?:test|it|describe)\.(?:skip|only|todo|fails)\b/.test(textOf.get(name) ?? ""),
    );
    expect(narrowed).toEqual([]);
  });

  test("nothing is left to be done later in the code", () => {
    const marker = new RegExp(
      `\\b(?:${["T.DO", "FIX.E", "HAC."].join("|").replaceAll(".", "[A-Z]")})\\b`,
    );
    expect(sources.filter((name) => marker.test(textOf.get(name) ?? ""))).toEqual([]);
  });

  test("files are named for what they hold", () => {
    const vague = sources.filter((name) =>
      /(^|\/)(utils?|helpers?|common|shared|misc)(\.[a-z]+)?(\/|$)/.test(name),
    );
    expect(vague).toEqual([]);
    expect(sources.filter((name) => /[A-Z_]/.test(name))).toEqual([]);
  });

  test("default exports only where a tool asks for them", () => {
    const withDefault = sources.filter(
      (name) =>
        !/^vitest\..*config\.ts$/.test(name) &&
        /(^|\n)export default /.test(textOf.get(name) ?? "") &&
        !inFolder(name, "test"),
    );
    expect(withDefault).toEqual([]);
  });

  test("each top-level folder is described in docs/architecture.md", () => {
    const described = readFileSync(join(root, "docs/architecture.md"), "utf8");
    const folders = new Set(files.filter((f) => f.includes("/")).map((f) => f.split("/")[0] ?? ""));
    const missing = [...folders].filter(
      (folder) => !folder.startsWith(".") && !described.includes(`${folder}/`),
    );
    expect(missing).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:])\/\/.*$/gm, "$1");
}

describe("documentation", () => {
  const documents = files.filter((name) => name.endsWith(".md"));
  const testFiles = files.filter((name) => name.endsWith(".test.ts"));
  const isPath = (cited: string) =>
    testFiles.some((name) => name === cited || name.endsWith(`/${cited}`));

  test("names only test files that exist", () => {
    const cited = documents.flatMap((name) =>
      [...readFileSync(join(root, name), "utf8").matchAll(/[\w./-]+\.test\.ts/g)].map(([path]) => ({
        name,
        path,
      })),
    );
    expect(cited.length).toBeGreaterThan(50);
    expect(cited.filter(({ path }) => !isPath(path))).toEqual([]);
  });

  test("gives every decision a number of its own, in its name and its heading", () => {
    const decisions = files
      .filter((name) => /^docs\/decisions\/[0-9]{4}-.*\.md$/.test(name))
      .sort();
    const numbers = decisions.map((name) => Number(/([0-9]{4})-/.exec(name)?.[1]));
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    const headings = decisions.map((name) => readFileSync(join(root, name), "utf8").split(".")[0]);
    expect(headings).toEqual(numbers.map((number) => `# ${number}`));
  });

  test("of threats quotes only names of tests that exist, where it says", () => {
    const text = readFileSync(join(root, "docs/threat-model.md"), "utf8");
    // `file`: "name", "name"; a name may be cut with an ellipsis, and stand in code with ${...} or %s.
    const quotes = [...text.matchAll(/`([\w/-]+)`: ((?:"[^"]+"(?:, |; )?)+)/g)].flatMap(
      ([, file = "", titles = ""]) =>
        [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => ({ file, title })),
    );
    expect(quotes.length).toBeGreaterThan(20);
    const missing = quotes.filter(({ file, title }) => {
      const texts = testFiles
        .filter((name) => `/${name}`.includes(`/${file}.test.ts`) || name.includes(`/${file}/`))
        .map((name) => textOf.get(name) ?? "");
      const parts = title.split("…").map((part) => part.trim());
      return !texts.some((each) => parts.every((part) => each.includes(part)));
    });
    expect(missing).toEqual([]);
  });
});
