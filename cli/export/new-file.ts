/**
 * A file that appears under its name only when it is complete. Until then it has a name of its own
 * beside it, which goes when the work fails or is stopped.
 */
import { link, open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { HoldfastError } from "#core/lib/errors.ts";

export interface NewFileOptions {
  /** Replace a file of that name. */
  readonly replace: boolean;
}

/** Throws `OutputExists`, `OutputFailed`, or what `fill` throws. */
export async function writeNewFile(
  path: string,
  { replace }: NewFileOptions,
  fill: (file: FileHandle) => Promise<void>,
): Promise<void> {
  if (!replace && (await exists(path))) throw outputExists(path);
  const draft = `${path}.${process.pid}.part`;
  const file = await open(draft, "wx").catch((error: unknown) => {
    throw outputFailed(path, error);
  });
  try {
    try {
      await fill(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await (replace ? rename(draft, path) : nameDraft(draft, path));
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === "EEXIST") throw outputExists(path);
    throw code === undefined ? error : outputFailed(path, error);
  } finally {
    await rm(draft, { force: true });
  }
}

/** A link refuses a name that has come into use in the meantime; not every file system has links. */
async function nameDraft(draft: string, path: string): Promise<void> {
  try {
    await link(draft, path);
  } catch (error) {
    const hasNoLinks = ["EPERM", "ENOTSUP", "ENOSYS"].includes(systemCodeOf(error) ?? "");
    if (!hasNoLinks || (await exists(path))) throw error;
    await rename(draft, path);
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function systemCodeOf(error: unknown): string | undefined {
  if (error instanceof HoldfastError || !(error instanceof Error) || !("syscall" in error)) {
    return undefined;
  }
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}

function outputExists(path: string): HoldfastError {
  return new HoldfastError(
    "OutputExists",
    `The file ${path} is there already. Choose another name, or say --force to replace it.`,
  );
}

const CAUSES: Readonly<Record<string, string>> = {
  EACCES: "you may not write there",
  EDQUOT: "your quota of the file system is used up",
  EFBIG: "the file system takes no files that large",
  ENOENT: "its folder does not exist",
  ENOSPC: "the file system is full",
  EROFS: "the file system is read-only",
};

function outputFailed(path: string, cause: unknown): HoldfastError {
  const code = systemCodeOf(cause) ?? "unknown";
  return new HoldfastError(
    "OutputFailed",
    `The file ${path} cannot be written: ${CAUSES[code] ?? "the system says"} (${code}). Choose another place.`,
    { cause },
  );
}
