import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** QEMU's own reader of images, installed when this machine lacks it and lets us. */
export async function installQemuImg(): Promise<void> {
  if (spawnSync("qemu-img", ["--version"]).status === 0) return;
  const install = "apt-get update && apt-get install -y --no-install-recommends qemu-utils";
  if (process.getuid?.() !== 0) {
    throw new Error(`qemu-img is missing. Install it as root: ${install}`);
  }
  await execute("sh", ["-c", install], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}

/** Standard output; throws with what it says when it ends with another exit code than 0. */
export async function qemuImg(...args: string[]): Promise<string> {
  return (await execute("qemu-img", args)).stdout;
}
