/**
 * Which way a connection came to a service of the stack, told by the loopback address that it comes
 * from: one for each private endpoint, one for the internet. What comes from elsewhere is of the
 * machine itself: the stack's own requests, and all there is without namespaces.
 */
export const internetOrigin = "127.65.0.1";

const endpointsPerBlock = 250;

export class EndpointOrigins {
  readonly #addresses = new Map<string, string>();
  readonly #endpoints = new Map<string, string>();

  /** Always the same address for one endpoint id. */
  addressOf(endpointId: string): string {
    const key = endpointId.toLowerCase();
    const known = this.#addresses.get(key);
    if (known !== undefined) return known;
    const number = this.#addresses.size;
    const address = `127.64.${Math.floor(number / endpointsPerBlock)}.${(number % endpointsPerBlock) + 1}`;
    this.#addresses.set(key, address);
    this.#endpoints.set(address, key);
    return address;
  }

  /** Lower-case id of the endpoint, or undefined when the address is none of an endpoint. */
  endpointAt(address: string | undefined): string | undefined {
    return address === undefined ? undefined : this.#endpoints.get(address);
  }
}
