/** Finds and loads the entry files of an app as the Node worker does (`package.json#main`, a glob). */
import { glob, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { HoldfastError } from "#core/lib/errors.ts";
import { z } from "zod";

const packageSchema = z.object({ main: z.string().optional(), type: z.string().optional() });

let loadCount = 0;

/**
 * Loads all entry files. An error in one of them stops the app, as on Node 20 and later.
 * @throws HoldfastError `EntryPointNotFound` when `main` is missing or matches nothing
 */
export async function loadApp(appDirectory: string): Promise<void> {
  const directory = resolve(appDirectory);
  const text = await readFile(join(directory, "package.json"), "utf8");
  const { main, type } = packageSchema.parse(JSON.parse(text));
  const files: string[] = [];
  if (main !== undefined) {
    for await (const file of glob(main, { cwd: directory })) files.push(file);
  }
  if (files.length === 0) {
    throw new HoldfastError(
      "EntryPointNotFound",
      `Worker was unable to load entry point "${main ?? ""}": found zero files. Check "main" in package.json and build the app.`,
    );
  }
  loadCount += 1;
  const require = createRequire(join(directory, "package.json"));
  for (const file of files.sort()) {
    const path = join(directory, file);
    const isModule = file.endsWith(".mjs") || (!file.endsWith(".cjs") && type === "module");
    if (isModule) {
      // A process that starts a host again (tests) must not get the modules of the last one.
      const query = loadCount === 1 ? "" : `?load=${loadCount}`;
      await import(`${pathToFileURL(path).href}${query}`);
    } else {
      delete require.cache[path];
      require(path);
    }
  }
}
