/** Other tools on the same bytes in the same run: bounds and peers. Absent ones are named. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { folderBytes, timed, type Measurement } from "./measurement.ts";

function isInstalled(program: string): boolean {
  return spawnSync(program, [program === "restic" ? "version" : "--version"]).status === 0;
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): void {
  const { status, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
}

export interface PeerRun {
  readonly first: () => Promise<Measurement>;
  readonly incremental?: () => Promise<Measurement>;
  readonly restore: () => Promise<Measurement>;
}

/** `zstd -3` with all cores: the bound for a first backup (no encryption, no index). */
export function zstdPeer(folder: string, image: string): PeerRun | "not installed" {
  if (!isInstalled("zstd")) return "not installed";
  const packed = join(folder, "image.zst");
  return {
    first: () =>
      timed(
        async () => run("zstd", ["-3", "-T0", "-q", "-f", image, "-o", packed]),
        async () => folderBytes(packed),
      ),
    restore: () =>
      timed(async () => run("zstd", ["-d", "-q", "-f", packed, "-o", join(folder, "zstd.img")])),
  };
}

export function resticPeer(folder: string, image: string): PeerRun | "not installed" {
  if (!isInstalled("restic")) return "not installed";
  const repository = join(folder, "restic");
  const env = {
    RESTIC_PASSWORD: "bench",
    RESTIC_REPOSITORY: repository,
    RESTIC_CACHE_DIR: join(folder, "cache"),
  };
  const backUp = async () =>
    run("restic", ["backup", "--quiet", "--compression", "auto", image], env);
  return {
    first: () =>
      timed(
        async () => {
          if (!existsSync(repository)) run("restic", ["init", "--quiet"], env);
          await backUp();
        },
        async () => folderBytes(repository),
      ),
    incremental: () => timed(backUp, async () => folderBytes(repository)),
    restore: () =>
      timed(async () =>
        run(
          "restic",
          ["restore", "latest", "--quiet", "--target", join(folder, "restic-out")],
          env,
        ),
      ),
  };
}
