/**
 * The bundle that a worker downloads: one .tar.gz with the Node binary and the built agent, and its
 * description (.json). Equal inputs make equal bytes: entries in a fixed order, no times, no owners.
 *
 * The archive is two gzip members one after the other (RFC 1952 allows it, gzip and tar read it):
 * the Node binary, which takes seconds to compress and is kept, and the rest.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const BLOCK_BYTES = 512;
/**
 * Measured on the Node 24.21 binary (121 MiB, one core): level 1 1.4 s and 49.9 MB, level 6 3.0 s and
 * 45.7 MB. A worker downloads that from its own region in well under a second.
 */
const GZIP_LEVEL = 1;

/**
 * @param {{ outFolder: string, libraries: readonly string[], serviceFile: string,
 *   nodeBinary: string, packageVersion: string,
 *   otherFiles?: readonly { name: string, file: string, mode?: number }[] }} options
 *   `libraries`: built files in `outFolder`; `otherFiles`: by their names in the bundle
 * @returns {Promise<{ version: string, name: string, sizeBytes: number, sha256: string, md5: string }>}
 */
export async function buildAgentBundle(options) {
  const { outFolder } = options;
  await mkdir(outFolder, { recursive: true });
  const archiveFile = join(outFolder, "holdfast-agent.tar.gz");
  const descriptionFile = join(outFolder, "holdfast-agent.json");
  const files = await readFiles(options);
  const node = await nodeMember(options);
  const contentHash = sha256Hex(Buffer.concat([Buffer.from(node.sha256), ...files.map(entryOf)]));
  const version = `${options.packageVersion}-${contentHash.slice(0, 12)}`;
  const known = await readDescription(descriptionFile);
  if (known?.version === version && (await sizeOf(archiveFile)) === known.sizeBytes) return known;

  const rest = [
    ...files.map(entryOf),
    entry("VERSION", Buffer.from(`${version}\n`)),
    // A tar file ends with two empty blocks (POSIX.1-2017, pax, ustar format).
    Buffer.alloc(2 * BLOCK_BYTES),
  ];
  const archive = Buffer.concat([node.member(), gzip(Buffer.concat(rest))]);
  const description = {
    version,
    name: `holdfast-agent-${version}.tar.gz`,
    sizeBytes: archive.length,
    sha256: sha256Hex(archive),
    md5: createHash("md5").update(archive).digest("hex"),
  };
  await replaceFile(archiveFile, archive);
  await replaceFile(descriptionFile, `${JSON.stringify(description, null, 2)}\n`);
  return description;
}

async function readFiles({ outFolder, libraries, serviceFile, otherFiles = [] }) {
  const names = [...libraries].sort();
  const parts = names.map(async (name) => ({
    name: `lib/${name}`,
    body: await readFile(join(outFolder, name)),
  }));
  const service = { name: basename(serviceFile), body: await readFile(serviceFile) };
  const others = otherFiles.map(async ({ name, file, mode }) => ({
    name,
    body: await readFile(file),
    mode,
  }));
  return [service, ...(await Promise.all(parts)), ...(await Promise.all(others))];
}

function entryOf({ name, body, mode }) {
  return entry(name, body, mode);
}

/** The compressed entry `bin/node`, made again only when the binary is another one. */
async function nodeMember({ outFolder, nodeBinary }) {
  const memberFile = join(outFolder, ".node.tar.gz");
  const stampFile = join(outFolder, ".node.json");
  const { size, mtimeMs } = await stat(nodeBinary);
  const stamp = JSON.stringify({ nodeBinary, size, mtimeMs, GZIP_LEVEL });
  const known = await readDescription(stampFile);
  if (known?.stamp === stamp && existsSync(memberFile)) {
    const member = await readFile(memberFile);
    return { sha256: known.sha256, member: () => member };
  }
  const binary = await readFile(nodeBinary);
  const member = gzip(entry("bin/node", binary, 0o755));
  const sha256 = sha256Hex(binary);
  await replaceFile(memberFile, member);
  await replaceFile(stampFile, JSON.stringify({ stamp, sha256 }));
  return { sha256, member: () => member };
}

/** One regular file as tar entry: header, content, padding (POSIX.1-2017, pax, ustar format). */
function entry(name, body, mode = 0o644) {
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write(name, 0, 100, "utf8");
  writeOctal(header, mode, 100, 8);
  writeOctal(header, 0, 108, 8);
  writeOctal(header, 0, 116, 8);
  writeOctal(header, body.length, 124, 12);
  writeOctal(header, 0, 136, 12);
  header.write("0", 156);
  header.write("ustar\u000000", 257, 8, "latin1");
  // The checksum counts its own field as blanks.
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8, "latin1");
  const padding = Buffer.alloc((BLOCK_BYTES - (body.length % BLOCK_BYTES)) % BLOCK_BYTES);
  return Buffer.concat([header, body, padding]);
}

function writeOctal(header, value, offset, length) {
  header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, length, "latin1");
}

function gzip(bytes) {
  return gzipSync(bytes, { level: GZIP_LEVEL });
}

function sha256Hex(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

async function readDescription(file) {
  return existsSync(file) ? JSON.parse(await readFile(file, "utf8")) : undefined;
}

async function sizeOf(file) {
  return existsSync(file) ? (await stat(file)).size : undefined;
}

/** Readers see the old file or the new one, never a part. */
async function replaceFile(file, content) {
  const draft = `${file}.${process.pid}.draft`;
  await writeFile(draft, content);
  await rename(draft, file);
}
