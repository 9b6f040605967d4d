/**
 * A *fabric* is the physical network under the virtual networks of a stack. Each *machine* (a worker,
 * the app) has a network namespace of its own whose only cable ends in the fabric's namespace. No
 * machine has a default route: it has routes to the fabric's own two addresses (name server and
 * instance metadata, as in every Azure subnet) and to the *service addresses* that it was given, such
 * as private endpoints. The fabric holds all of those addresses and forwards no packet: each
 * connection ends in its gateway, and `route` decides where it goes on, by machine, address and TLS
 * server name. What no route leads to is counted by the machine's kernel.
 */
import { connect, type Socket } from "node:net";
import { encodeAnswer, decodeQuestion, type DnsAnswer } from "./dns-message.ts";
import { Gateway, readBuffer, type Datagram } from "./gateway-process.ts";
import { join, type Listener, type RelayHeader } from "./gateway-protocol.ts";
import {
  commandPrefixOf,
  connectNamespaces,
  createNamespace,
  ip,
  readPacketCounters,
  removeNamespace,
  removeNamespacesOf,
  requireNetworkNamespaces,
  type PacketCounters,
} from "./network-namespaces.ts";
import { readServerName } from "./server-name.ts";

/** https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16 */
const nameServerAddress = "168.63.129.16";
/** https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service */
export const metadataAddress = "169.254.169.254";
const platformAddresses = [nameServerAddress, metadataAddress];
const platformListeners: readonly Listener[] = [
  { address: nameServerAddress, port: 53, protocol: "udp" },
  { address: metadataAddress, port: 80, protocol: "tcp" },
];

export interface Connection {
  readonly machineId: string;
  readonly address: string;
  readonly port: number;
  /** Of its TLS hello; undefined when it speaks none. */
  readonly serverName: string | undefined;
}

export interface Destination {
  readonly host: string;
  readonly port: number;
  /** Loopback address to come from: by it the service knows which way the connection took. */
  readonly localAddress?: string;
}

export interface FabricOptions {
  /** At most 8 letters and digits; no other running fabric has it. */
  readonly prefix: string;
  /** Where a connection goes; undefined resets it. */
  readonly route: (connection: Connection) => Destination | undefined;
  readonly resolve: (name: string, machineId: string) => DnsAnswer;
}

export interface Machine {
  readonly id: string;
  readonly address: string;
  readonly namespace: string;
  /** Words before a command line that run it there. */
  readonly commandPrefix: readonly [string, ...string[]];
}

export class Fabric implements AsyncDisposable {
  readonly #options: FabricOptions;
  readonly #namespace: string;
  readonly #machines = new Map<string, Machine>();
  /** The fabric's end of each machine's cable. */
  readonly #devices = new Map<string, string>();
  readonly #routes = new Map<string, Set<string>>();
  readonly #addresses = new Set<string>();
  readonly #connections = new Set<Socket>();
  #gateway: Gateway | undefined;
  #machineCount = 0;
  #change: Promise<unknown> = Promise.resolve();

  private constructor(options: FabricOptions) {
    this.#options = options;
    this.#namespace = `${options.prefix}-fabric`;
  }

  static async open(options: FabricOptions): Promise<Fabric> {
    await requireNetworkNamespaces();
    await removeNamespacesOf(`${options.prefix}-`);
    const fabric = new Fabric(options);
    try {
      await fabric.#start();
      return fabric;
    } catch (error) {
      await fabric[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(): Promise<void> {
    await createNamespace(this.#namespace, nameServerAddress);
    for (const address of platformAddresses) await this.#addAddress(address);
    this.#gateway = await Gateway.start({
      namespace: this.#namespace,
      onConnection: (header, socket) => this.#onConnection(header, socket),
      onDatagram: (datagram) => this.#answer(datagram),
    });
    await this.#gateway.listen(platformListeners);
  }

  /** A machine with this private address; its namespace has no route yet but to the platform. */
  async attach(id: string, address: string): Promise<Machine> {
    return this.#inTurn(async () => {
      const known = this.#machines.get(id);
      if (known !== undefined) return known;
      const number = this.#machineCount++;
      const device = `m${number}`;
      const namespace = `${this.#options.prefix}-${device}`;
      const machine = { id, address, namespace, commandPrefix: commandPrefixOf(namespace) };
      await createNamespace(namespace, nameServerAddress);
      await connectNamespaces(
        { namespace: this.#namespace, device },
        { namespace, device: "eth0" },
      );
      await ip("-n", namespace, "address", "add", `${address}/32`, "dev", "eth0");
      await ip("-n", this.#namespace, "route", "add", `${address}/32`, "dev", device);
      this.#machines.set(id, machine);
      this.#devices.set(id, device);
      this.#routes.set(id, new Set());
      for (const platform of platformAddresses) await this.#addRoute(machine, platform);
      return machine;
    });
  }

  /** Removes the machine's network; its processes must have ended. No error when there is none. */
  async detach(id: string): Promise<void> {
    await this.#inTurn(async () => {
      const machine = this.#machines.get(id);
      if (machine === undefined) return;
      this.#machines.delete(id);
      this.#routes.delete(id);
      // A connection that cannot end, since no route leads back, keeps its namespace alive for minutes
      // after this, and a cable that is plugged in would keep the address from the next machine.
      await ip("-n", this.#namespace, "link", "delete", this.#devices.get(id) ?? "");
      this.#devices.delete(id);
      await removeNamespace(machine.namespace);
    });
  }

  machine(id: string): Machine | undefined {
    return this.#machines.get(id);
  }

  /** The machine reaches exactly these service addresses, beside the platform's. */
  async setRoutes(id: string, addresses: readonly string[]): Promise<void> {
    await this.#inTurn(async () => {
      const machine = this.#machines.get(id);
      const routes = this.#routes.get(id);
      if (machine === undefined || routes === undefined) return;
      const wanted = new Set([...addresses, ...platformAddresses]);
      for (const address of routes) {
        if (wanted.has(address)) continue;
        await ip("-n", machine.namespace, "route", "delete", `${address}/32`);
        routes.delete(address);
      }
      for (const address of wanted) {
        if (!routes.has(address)) await this.#addRoute(machine, address);
      }
    });
  }

  /** Service addresses that exist, each with its TCP port 443; others vanish with their connections. */
  async setServiceAddresses(addresses: readonly string[]): Promise<void> {
    await this.#inTurn(async () => {
      const wanted = new Set([...addresses, ...platformAddresses]);
      for (const address of wanted) {
        if (!this.#addresses.has(address)) await this.#addAddress(address);
      }
      const services = addresses.map((address): Listener => ({
        address,
        port: 443,
        protocol: "tcp",
      }));
      await this.#gateway?.listen([...platformListeners, ...services]);
      for (const address of this.#addresses) {
        if (wanted.has(address)) continue;
        await ip("-n", this.#namespace, "address", "delete", `${address}/32`, "dev", "lo");
        this.#addresses.delete(address);
      }
    });
  }

  /** Of the machine's own namespace since it was attached. */
  async readCounters(id: string): Promise<PacketCounters | undefined> {
    const machine = this.#machines.get(id);
    return machine === undefined ? undefined : readPacketCounters(machine.namespace);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#change;
    for (const socket of this.#connections) socket.destroy();
    await this.#gateway?.[Symbol.asyncDispose]();
    await removeNamespacesOf(`${this.#options.prefix}-`);
  }

  async #addAddress(address: string): Promise<void> {
    await ip("-n", this.#namespace, "address", "add", `${address}/32`, "dev", "lo");
    this.#addresses.add(address);
  }

  async #addRoute({ id, namespace, address }: Machine, to: string): Promise<void> {
    const words = ["dev", "eth0", "scope", "link", "src", address];
    await ip("-n", namespace, "route", "add", `${to}/32`, ...words);
    this.#routes.get(id)?.add(to);
  }

  /** Waits for the first bytes, because the TLS hello decides with. */
  #onConnection(header: RelayHeader, socket: Socket): void {
    this.#connections.add(socket);
    socket.once("close", () => this.#connections.delete(socket));
    const drop = () => void socket.destroy();
    socket.on("error", drop);
    const take = (): void => {
      const hello = readBuffer(socket);
      if (hello === undefined) return;
      socket.off("readable", take);
      socket.off("error", drop);
      socket.unshift(hello);
      this.#forward(header, socket, readServerName(hello));
    };
    socket.on("readable", take);
  }

  #forward(header: RelayHeader, socket: Socket, serverName: string | undefined): void {
    const { address, port } = header;
    const machineId = this.#machineOf(header.source)?.id;
    const destination =
      machineId === undefined
        ? undefined
        : this.#options.route({ machineId, address, port, serverName });
    if (destination === undefined) {
      socket.destroy();
      return;
    }
    const target = connect({ ...destination }, () => join(socket, target));
    target.once("error", () => socket.destroy());
  }

  #answer({ source, bytes }: Datagram): Buffer | undefined {
    const question = decodeQuestion(bytes);
    const machine = this.#machineOf(source);
    if (question === undefined || machine === undefined) return undefined;
    return encodeAnswer(question, this.#options.resolve(question.name, machine.id));
  }

  #machineOf(address: string): Machine | undefined {
    return [...this.#machines.values()].find((machine) => machine.address === address);
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#change.then(work);
    this.#change = turn.catch(() => undefined);
    return turn;
  }
}
