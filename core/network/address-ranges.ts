/** IPv4 prefixes: which overlap, which contains which, and the free ones for worker networks. */
export interface AddressRange {
  /** First and last address as numbers, both inside. */
  readonly first: number;
  readonly last: number;
}

const ADDRESS_BITS = 32;

/** The range of `10.0.0.0/24`; `undefined` for what is no aligned IPv4 prefix. */
export function parsePrefix(text: string): AddressRange | undefined {
  const [, address = "", length = ""] = /^(\d+(?:\.\d+){3})\/(\d{1,2})$/.exec(text) ?? [];
  const bytes = address.split(".").map(Number);
  const bits = Number(length);
  if (address === "" || bytes.some((byte) => byte > 255) || bits > ADDRESS_BITS) return undefined;
  const first = bytes.reduce((value, byte) => value * 256 + byte, 0);
  const size = 2 ** (ADDRESS_BITS - bits);
  return first % size === 0 ? { first, last: first + size - 1 } : undefined;
}

export function addressCountOf(prefix: string): number {
  const range = parsePrefix(prefix);
  return range === undefined ? 0 : range.last - range.first + 1;
}

export function overlap(one: string, other: string): boolean {
  const left = parsePrefix(one);
  const right = parsePrefix(other);
  if (left === undefined || right === undefined) return false;
  return left.first <= right.last && right.first <= left.last;
}

export function contains(outer: string, inner: string): boolean {
  const around = parsePrefix(outer);
  const within = parsePrefix(inner);
  if (around === undefined || within === undefined) return false;
  return around.first <= within.first && within.last <= around.last;
}

/** The first pair that overlaps. */
export function findOverlap(
  ones: readonly string[],
  others: readonly string[],
): { readonly one: string; readonly other: string } | undefined {
  for (const one of ones) {
    const other = others.find((each) => overlap(one, each));
    if (other !== undefined) return { one, other };
  }
  return undefined;
}

/** Worker networks lie here; each region takes one /24, so that all can be peered with the hub. */
const WORKER_SPACE = { first: 10, second: 213, prefixLength: 24, count: 256 } as const;

/** The first /24 of 10.213.0.0/16 that overlaps none of these; `undefined` when all are taken. */
export function chooseWorkerPrefix(taken: readonly string[]): string | undefined {
  const { first, second, prefixLength, count } = WORKER_SPACE;
  for (let third = 0; third < count; third++) {
    const prefix = `${first}.${second}.${third}.0/${prefixLength}`;
    if (!taken.some((each) => overlap(each, prefix))) return prefix;
  }
  return undefined;
}
