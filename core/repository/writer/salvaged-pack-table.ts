/**
 * Packs of a predecessor by the blocks that they hold: 38 bytes each, because a disk of 32 TiB may
 * have a million of them.
 */
import { ID_BYTES } from "../format/layout.ts";
import { GrowingBuffer } from "./growing-buffer.ts";

export interface SalvagedPack {
  /** 32 hexadecimal digits. */
  readonly packId: string;
  readonly objectBytes: number;
  /** Length of the sealed footer, which ends where the trailer begins. */
  readonly footerBytes: number;
  readonly firstBlock: number;
  readonly lastBlock: number;
}

const AT = {
  objectBytes: ID_BYTES,
  firstBlock: ID_BYTES + 6,
  lastBlock: ID_BYTES + 12,
  footerBytes: ID_BYTES + 18,
} as const;
const LINE_BYTES = ID_BYTES + 22;

interface Order {
  /** Line numbers, ascending by first block. */
  readonly lines: Uint32Array;
  /** At each position the highest last block up to there: nothing before it reaches further. */
  readonly highestLastBlocks: Float64Array;
}

export class SalvagedPackTable {
  readonly #lines = new GrowingBuffer();
  #order: Order | undefined;

  add(pack: SalvagedPack): void {
    const line = Buffer.alloc(LINE_BYTES);
    line.write(pack.packId, 0, "hex");
    line.writeUIntLE(pack.objectBytes, AT.objectBytes, 6);
    line.writeUIntLE(pack.firstBlock, AT.firstBlock, 6);
    line.writeUIntLE(pack.lastBlock, AT.lastBlock, 6);
    line.writeUInt32LE(pack.footerBytes, AT.footerBytes);
    this.#lines.append(line);
    this.#order = undefined;
  }

  /** Packs that hold a block from `firstBlock` to before `endBlock`, as far as their bounds tell. */
  overlapping(firstBlock: number, endBlock: number): SalvagedPack[] {
    const { lines, highestLastBlocks } = (this.#order ??= this.#sort());
    const found: SalvagedPack[] = [];
    for (let at = this.#countBefore(lines, endBlock) - 1; at >= 0; at--) {
      if ((highestLastBlocks[at] ?? 0) < firstBlock) break;
      const pack = this.#pack(lines[at] ?? 0);
      if (pack.lastBlock >= firstBlock) found.push(pack);
    }
    return found.reverse();
  }

  #sort(): Order {
    const lines = Uint32Array.from({ length: this.#lines.length / LINE_BYTES }, (_, line) => line);
    lines.sort((left, right) => this.#firstBlock(left) - this.#firstBlock(right));
    const highestLastBlocks = new Float64Array(lines.length);
    let highest = 0;
    lines.forEach((line, at) => {
      highest = Math.max(highest, this.#pack(line).lastBlock);
      highestLastBlocks[at] = highest;
    });
    return { lines, highestLastBlocks };
  }

  /** How many packs begin before a block. */
  #countBefore(lines: Uint32Array, block: number): number {
    let low = 0;
    let high = lines.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#firstBlock(lines[middle] ?? 0) < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #firstBlock(line: number): number {
    return this.#lines.view().readUIntLE(line * LINE_BYTES + AT.firstBlock, 6);
  }

  #pack(line: number): SalvagedPack {
    const bytes = this.#lines.view();
    const at = line * LINE_BYTES;
    return {
      packId: bytes.toString("hex", at, at + ID_BYTES),
      objectBytes: bytes.readUIntLE(at + AT.objectBytes, 6),
      firstBlock: bytes.readUIntLE(at + AT.firstBlock, 6),
      lastBlock: bytes.readUIntLE(at + AT.lastBlock, 6),
      footerBytes: bytes.readUInt32LE(at + AT.footerBytes),
    };
  }
}
