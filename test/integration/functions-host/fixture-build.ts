import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

/** The fixture app, compiled as the product is: one ESM bundle. */
export class FixtureBuild implements AsyncDisposable {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  get journalFile(): string {
    return join(this.directory, "journal.jsonl");
  }

  static async create(): Promise<FixtureBuild> {
    const directory = await mkdtemp(join(tmpdir(), "functions-host-"));
    const source = join(import.meta.dirname, "fixture-app");
    await mkdir(join(directory, "dist"));
    await build({
      entryPoints: [join(source, "main.ts")],
      outfile: join(directory, "dist/main.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      external: ["@azure/functions-core"],
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
      logLevel: "error",
    });
    const manifest = { name: "fixture", type: "module", main: "dist/*.mjs" };
    await writeFile(join(directory, "package.json"), JSON.stringify(manifest));
    await copyFile(join(source, "host.json"), join(directory, "host.json"));
    return new FixtureBuild(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}
