import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import type { AgentBundle } from "./app-context.ts";

/** The worker agent's bundle as the build left it, with its description beside it. */
const descriptionSchema = z.object({
  version: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/),
  name: z.string().min(1),
  sizeBytes: z.number().int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  md5: z.string().regex(/^[0-9a-f]{32}$/),
});

/** @param bundlePath path of the archive, relative to the app's root */
export function createAgentBundle(appRoot: string, bundlePath: string): AgentBundle {
  const archive = path.resolve(appRoot, bundlePath);
  const description = archive.replace(/\.tar\.gz$/, ".json");
  return {
    async describe() {
      const parsed = descriptionSchema.safeParse(await readJson(description));
      if (parsed.success) return parsed.data;
      throw new HoldfastError(
        "BundleMissing",
        `${description} does not describe the agent's bundle: build the app again.`,
      );
    },
    read: async () => new Uint8Array(await readFile(archive)),
  };
}

async function readJson(file: string): Promise<unknown> {
  try {
    const json: unknown = JSON.parse(await readFile(file, "utf8"));
    return json;
  } catch {
    return undefined;
  }
}

/** The folder of `host.json`, from the folder of the running module upwards. */
export function findAppRoot(from: string): string {
  for (let folder = from; ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, "host.json"))) return folder;
    if (path.dirname(folder) === folder)
      throw new HoldfastError("InvalidConfiguration", `No host.json in ${from} or above.`);
  }
}
