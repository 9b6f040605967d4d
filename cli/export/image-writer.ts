/** Writing disk images: what the formats have in common. */

/** The part of `FileHandle` that writers need. */
export interface ImageFile {
  write(
    bytes: Uint8Array,
    offset: number,
    lengthBytes: number,
    positionBytes: number,
  ): Promise<{ readonly bytesWritten: number }>;
  truncate(sizeBytes: number): Promise<void>;
}

/** Writes the content of one disk into a new, empty file. */
export interface ImageWriter {
  /**
   * @param offsetBytes place on the disk; a multiple of 64 KiB, ascending from call to call
   * @param bytes whole clusters of 64 KiB, or up to the end of the disk
   */
  write(offsetBytes: number, bytes: Uint8Array): Promise<void>;
  /** Completes the file. What was not written is zero. */
  finish(): Promise<void>;
}

/** What is skipped when it is zero: a size that file systems and qcow2 keep no space for. */
export const CLUSTER_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(CLUSTER_BYTES);

/** Runs of clusters that are not all zero. */
export function* clustersWithContent(
  bytes: Uint8Array,
): Generator<{ readonly at: number; readonly bytes: Uint8Array }> {
  let start: number | undefined;
  for (let at = 0; at < bytes.length; at += CLUSTER_BYTES) {
    const cluster = bytes.subarray(at, at + CLUSTER_BYTES);
    if (!ZEROS.subarray(0, cluster.length).equals(cluster)) {
      start ??= at;
      continue;
    }
    if (start !== undefined) yield { at: start, bytes: bytes.subarray(start, at) };
    start = undefined;
  }
  if (start !== undefined) yield { at: start, bytes: bytes.subarray(start) };
}

/** One write may take a part only (pwrite(2)). */
export async function writeFully(
  file: ImageFile,
  bytes: Uint8Array,
  positionBytes: number,
): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const rest = bytes.length - done;
    const { bytesWritten } = await file.write(bytes, done, rest, positionBytes + done);
    done += bytesWritten;
  }
}
