/** Sealed footers that were used last, up to a number of bytes in all. */
export class FooterCache {
  readonly #maxBytes: number;
  readonly #footers = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(packId: string): Uint8Array | undefined {
    const footer = this.#footers.get(packId);
    if (footer === undefined) return undefined;
    this.#footers.delete(packId);
    this.#footers.set(packId, footer);
    return footer;
  }

  add(packId: string, footer: Uint8Array): void {
    if (this.#footers.has(packId)) return;
    this.#footers.set(packId, footer);
    this.#bytes += footer.length;
    for (const [oldestId, oldest] of this.#footers) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#footers.delete(oldestId);
      this.#bytes -= oldest.length;
    }
  }
}
