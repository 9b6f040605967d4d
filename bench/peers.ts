/** Other tools on the same bytes in the same run: bounds (zstd, qemu-img) and peers (restic, borg). */
import { link, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DiskImages } from "./disk-image.ts";
import { folderBytes, timed, type Round } from "./measurement.ts";
import { run } from "./programs.ts";

/** @param folder empty; the caller removes it */
type Peer = (folder: string, images: DiskImages) => Promise<Round>;

export const PEERS: Readonly<Record<string, { readonly program: string; readonly run: Peer }>> = {
  zstd: { program: "zstd", run: runZstd },
  restic: { program: "restic", run: runRestic },
  borg: { program: "borg", run: runBorg },
  "qemu-img": { program: "qemu-img", run: runQemuImg },
};

/** `zstd -3 -T2`: the bound for a first backup (no encryption, no index, nothing incremental). */
async function runZstd(folder: string, images: DiskImages): Promise<Round> {
  const packed = join(folder, "image.zst");
  const restored = join(folder, "restored.img");
  const size = async () => folderBytes(packed);
  const pack = () => run("zstd", ["-3", "-T2", "-q", images.first, "-o", packed]);
  const first = await timed(images.first, pack, size);
  const restore = await timed(undefined, () => run("zstd", ["-d", "-q", packed, "-o", restored]));
  run("cmp", [restored, images.first]);
  return { first, restore };
}

async function runQemuImg(folder: string, images: DiskImages): Promise<Round> {
  const packed = join(folder, "image.qcow2");
  const restored = join(folder, "restored.img");
  const pack = ["-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", "-m", "2"];
  const unpack = ["-f", "qcow2", "-O", "raw", "-m", "2", packed, restored];
  const size = async () => folderBytes(packed);
  const convert = () => run("qemu-img", ["convert", ...pack, images.first, packed]);
  const first = await timed(images.first, convert, size);
  const restore = await timed(undefined, () => run("qemu-img", ["convert", ...unpack]));
  run("cmp", [restored, images.first]);
  return { first, restore };
}

/**
 * A hard link under one name: the tool sees another file of that name, nothing is copied. Images and
 * work both lie in the temporary folder, on one file system.
 */
async function show(image: string, shown: string): Promise<void> {
  await rm(shown, { force: true });
  await link(image, shown);
}

async function runRestic(folder: string, images: DiskImages): Promise<Round> {
  const shown = join(folder, "disk.img");
  const repository = join(folder, "repository");
  const restored = join(folder, "restored");
  const env = {
    RESTIC_PASSWORD: "bench",
    RESTIC_REPOSITORY: repository,
    RESTIC_CACHE_DIR: join(folder, "cache"),
  };
  const size = async () => folderBytes(repository);
  const backUp = () => run("restic", ["backup", "--quiet", "--compression", "auto", shown], env);
  run("restic", ["init", "--quiet"], env);
  await show(images.first, shown);
  const first = await timed(images.first, backUp, size);
  await show(images.second, shown);
  const incremental = await timed(images.second, backUp, size);
  const restore = await timed(undefined, () =>
    run("restic", ["restore", "latest", "--quiet", "--target", restored], env),
  );
  run("cmp", [join(restored, shown), images.second]);
  return { first, incremental, restore };
}

async function runBorg(folder: string, images: DiskImages): Promise<Round> {
  const shown = join(folder, "disk.img");
  const repository = join(folder, "repository");
  const restored = join(folder, "restored");
  await mkdir(restored);
  const env = {
    BORG_PASSPHRASE: "bench",
    BORG_BASE_DIR: join(folder, "base"),
    BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes",
  };
  const size = async () => folderBytes(repository);
  const backUp = (name: string) =>
    run("borg", ["create", "--compression", "zstd,3", `${repository}::${name}`, shown], env);
  run("borg", ["init", "--encryption", "repokey-blake2", repository], env);
  await show(images.first, shown);
  const first = await timed(images.first, () => backUp("first"), size);
  await show(images.second, shown);
  const incremental = await timed(images.second, () => backUp("second"), size);
  const extract = 'cd "$0" && borg extract --sparse "$1"';
  const restore = await timed(undefined, () =>
    run("sh", ["-c", extract, restored, `${repository}::second`], env),
  );
  run("cmp", [join(restored, shown), images.second]);
  return { first, incremental, restore };
}
