/** Runs the programs that a measurement needs, and installs those that are missing. */
import { spawnSync } from "node:child_process";
import { delimiter } from "node:path";

/** Debian and Ubuntu packages by program. */
const PACKAGES: Readonly<Record<string, string>> = {
  restic: "restic",
  borg: "borgbackup",
  "qemu-img": "qemu-utils",
  zstd: "zstd",
  mke2fs: "e2fsprogs",
};

/** mke2fs lies where only root's PATH looks. */
const path = [process.env["PATH"] ?? "", "/usr/sbin", "/sbin"].join(delimiter);

export function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, PATH: path, ...env },
  });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(" ")} failed: ${error?.message ?? stderr}`);
}

function isMissing(program: string): boolean {
  const { status } = spawnSync("sh", ["-c", `command -v ${program}`], {
    env: { ...process.env, PATH: path },
  });
  return status !== 0;
}

/**
 * Installs what is missing of `programs` through apt-get. Throws an error that names the command
 * when this machine has no apt-get, the user is not root, or the installation fails.
 */
export function installPrograms(programs: readonly string[]): void {
  const missing = programs.filter(isMissing);
  if (missing.length === 0) return;
  const packages = missing.map((program) => PACKAGES[program] ?? program);
  const command = ["apt-get", "install", "--yes", "--no-install-recommends", ...packages];
  const byHand =
    `These programs are missing: ${missing.join(", ")}. Install them by hand ` +
    `(Debian, Ubuntu: sudo ${command.join(" ")}) or leave tools out with --peers.`;
  if (process.getuid?.() !== 0 || isMissing("apt-get")) throw new Error(byHand);
  console.error(`Installing ${packages.join(", ")} ...`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  try {
    run("apt-get", ["update", "--quiet"], env);
    run("apt-get", command.slice(1), env);
  } catch (cause) {
    throw new Error(byHand, { cause });
  }
}
