/** An IPv4 network, e.g. 10.0.0.0/24. */
export interface AddressRange {
  /** First and last address as numbers, both inside. */
  readonly first: number;
  readonly last: number;
  readonly prefixLength: number;
}

/** The number of an address in dotted form, or undefined. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    const byte = Number(part);
    if (!/^\d{1,3}$/.test(part) || byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/** The range of a CIDR prefix. `aligned` is false when host bits are set (`10.0.0.1/24`). */
export function parsePrefix(text: string): { range: AddressRange; aligned: boolean } | undefined {
  const [, address = "", length = ""] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const value = parseAddress(address);
  const prefixLength = Number(length);
  if (value === undefined || length === "" || prefixLength > 32) return undefined;
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(value / size) * size;
  return { range: { first, last: first + size - 1, prefixLength }, aligned: first === value };
}

export function containsRange(outer: AddressRange, inner: AddressRange): boolean {
  return outer.first <= inner.first && inner.last <= outer.last;
}

export function overlaps(one: AddressRange, other: AddressRange): boolean {
  return one.first <= other.last && other.first <= one.last;
}
