/**
 * Lists that are longer than one message of the event queue holds travel as *pages*, numbered from 0.
 * Each is sent until the queue has taken it, so that all of them are in the queue before the result
 * that says how many items they hold.
 */
import { EVENT_PAGE_BYTES_MAX } from "#core/protocol/worker-event.ts";

export class EventPages<Item> {
  readonly #send: (page: number, items: Item[]) => Promise<void>;
  #page = 0;
  #items: Item[] = [];
  #sizeBytes = 0;

  constructor(send: (page: number, items: Item[]) => Promise<void>) {
    this.#send = send;
  }

  /** Gathers items until a page is full and sends it; false when the item is too large for any page. */
  async add(item: Item): Promise<boolean> {
    const sizeBytes = travelBytesOf(item);
    if (sizeBytes > EVENT_PAGE_BYTES_MAX) return false;
    if (this.#sizeBytes + sizeBytes > EVENT_PAGE_BYTES_MAX) await this.flush();
    this.#items.push(item);
    this.#sizeBytes += sizeBytes;
    return true;
  }

  async flush(): Promise<void> {
    if (this.#items.length === 0) return;
    await this.#send(this.#page, this.#items);
    this.#page += 1;
    this.#items = [];
    this.#sizeBytes = 0;
  }
}

/** As it travels: the event's text is a string inside the signed message. */
function travelBytesOf(item: unknown): number {
  return Buffer.byteLength(JSON.stringify(JSON.stringify(item)));
}
