/**
 * Private networks of a stack made real: workers and the app run in network namespaces of a fabric,
 * and what Resource Manager knows of endpoints, peerings and zones decides what they reach. Public
 * names lead to one public address, which only machines with a way to the internet have a route to:
 * the app, as on a plan with VNet integration. Workers have none.
 */
import {
  Fabric,
  metadataAddress,
  type Connection,
  type Destination,
} from "#local/fabric/fabric.ts";
import type { DnsAnswer } from "#local/fabric/dns-message.ts";
import type { PacketCounters } from "#local/fabric/network-namespaces.ts";
import { objectAt, objectsAt, referenceAt, stringAt } from "#local/resource-manager/json.ts";
import { privateNameOf } from "#local/resource-manager/network/private-names.ts";
import {
  liveEndpoints,
  networkOfSubnet,
  reachableEndpoints,
  resolveName,
  type LiveEndpoint,
} from "#local/resource-manager/network/reachability.ts";
import { ipConfigurationsOf } from "#local/resource-manager/network/subnet-addresses.ts";
import type { ProviderContext, Resource, ResourceStore } from "#local/resource-manager/provider.ts";
import { fullTypeOf, parseResourceId } from "#local/resource-manager/resource-id.ts";
import { resourceManagerHost, tenantHost } from "./azure-names.ts";
import { EndpointOrigins, internetOrigin } from "./network-origins.ts";
import type { StackPorts } from "./ports.ts";

/** TEST-NET-3 (RFC 5737): stands for every public address of Azure. */
const publicAddress = "203.0.113.1";
const loopback = "127.0.0.1";

export interface NetworkMachine {
  readonly address: string;
  readonly networkId: string;
  /** Port of the machine's own metadata service on loopback. */
  readonly metadataPort?: number | undefined;
  readonly hasInternet: boolean;
}

export interface PrivateNetworkOptions {
  /** See `FabricOptions.prefix`. */
  readonly prefix: string;
  readonly ports: StackPorts;
}

export class PrivateNetwork implements AsyncDisposable {
  readonly origins = new EndpointOrigins();
  readonly #ports: StackPorts;
  readonly #machines = new Map<string, NetworkMachine>();
  /** Connections to public addresses, by the name that their TLS hello told. */
  readonly #publicConnections = new Map<string, number>();
  /** What the kernels of machines that left had counted. */
  readonly #lastCounters = new Map<string, PacketCounters>();
  #fabric: Fabric | undefined;
  #context: ProviderContext | undefined;
  #endpoints: readonly LiveEndpoint[] = [];
  #refresh: Promise<void> = Promise.resolve();

  private constructor(options: PrivateNetworkOptions) {
    this.#ports = options.ports;
  }

  static async open(options: PrivateNetworkOptions): Promise<PrivateNetwork> {
    const network = new PrivateNetwork(options);
    network.#fabric = await Fabric.open({
      prefix: options.prefix,
      route: (connection) => network.#route(connection),
      resolve: (name, machineId) => network.#resolve(name, machineId),
    });
    return network;
  }

  /** Names and routes follow this table of resources from now on. */
  async follow(context: ProviderContext): Promise<void> {
    this.#context = context;
    await this.refresh();
  }

  /** Puts the machine into its network; answers the words before its command lines. Safe to repeat. */
  async enter(id: string, machine: NetworkMachine): Promise<readonly string[]> {
    this.#machines.set(id, machine);
    const { commandPrefix } = await this.#theFabric().attach(id, machine.address);
    await this.refresh();
    return commandPrefix;
  }

  /** As `enter`, for a VM by its `vmId`: address and network are those of its first interface. */
  async enterVm(vmId: string, metadataPort: number | undefined): Promise<readonly string[]> {
    const { resources } = this.#theContext();
    const vm = resources
      .list("Microsoft.Compute/virtualMachines")
      .find(({ body }) => stringAt(objectAt(body, "properties"), "vmId") === vmId);
    const place = vm === undefined ? undefined : placeOfVm(resources, vm);
    if (place === undefined) throw new Error(`The VM ${vmId} has no interface in a subnet.`);
    return this.enter(vmId, { ...place, metadataPort, hasInternet: false });
  }

  async leave(id: string): Promise<void> {
    const counters = await this.#theFabric().readCounters(id);
    if (counters !== undefined) this.#lastCounters.set(id, counters);
    this.#machines.delete(id);
    await this.#theFabric().detach(id);
  }

  /** Makes addresses and routes what the resources say; resolves when packets see it. */
  async refresh(): Promise<void> {
    this.#refresh = this.#refresh.then(() => this.#apply());
    await this.#refresh;
  }

  /** Of every machine that ever was here, those that left too. */
  async readCounters(): Promise<ReadonlyMap<string, PacketCounters>> {
    const counters = new Map(this.#lastCounters);
    for (const id of this.#machines.keys()) {
      const now = await this.#theFabric().readCounters(id);
      if (now !== undefined) counters.set(id, now);
    }
    return counters;
  }

  /** How many connections went to public addresses since the start, by the name asked for. */
  publicConnections(): ReadonlyMap<string, number> {
    return new Map(this.#publicConnections);
  }

  /** Throws for a machine that has not entered. */
  namespaceOf(id: string): string {
    const machine = this.#theFabric().machine(id);
    if (machine === undefined) throw new Error(`${id} is in no private network.`);
    return machine.namespace;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#refresh.catch(() => undefined);
    await this.#fabric?.[Symbol.asyncDispose]();
  }

  async #apply(): Promise<void> {
    const fabric = this.#theFabric();
    const resources = this.#context?.resources;
    this.#endpoints = resources === undefined ? [] : liveEndpoints(resources);
    await fabric.setServiceAddresses([
      publicAddress,
      ...this.#endpoints.map(({ address }) => address),
    ]);
    for (const [id, { networkId, hasInternet }] of this.#machines) {
      const reachable = resources === undefined ? [] : reachableEndpoints(resources, networkId);
      const addresses = reachable.map(({ address }) => address);
      await fabric.setRoutes(id, hasInternet ? [...addresses, publicAddress] : addresses);
    }
  }

  #resolve(name: string, machineId: string): DnsAnswer {
    const networkId = this.#machines.get(machineId)?.networkId ?? "";
    if (name === resourceManagerHost || name === tenantHost) {
      return { status: "found", aliases: [], addresses: [publicAddress] };
    }
    const { aliases, address } = resolveName(this.#theContext(), networkId, name);
    if (address === undefined) return { status: "no-such-name", aliases, addresses: [] };
    return {
      status: "found",
      aliases,
      addresses: [address === "public" ? publicAddress : address],
    };
  }

  #route({ machineId, address, serverName }: Connection): Destination | undefined {
    if (address === metadataAddress) {
      const port = this.#machines.get(machineId)?.metadataPort;
      return port === undefined ? undefined : { host: loopback, port };
    }
    if (address === publicAddress) return this.#routePublic(serverName);
    const endpoint = this.#endpoints.find((each) => each.address === address);
    if (endpoint === undefined || !this.#isServedBy(endpoint, serverName)) return undefined;
    const port = this.#portOf(endpoint.groupId);
    const localAddress = this.origins.addressOf(endpoint.endpointId);
    return port === undefined ? undefined : { host: loopback, port, localAddress };
  }

  #routePublic(serverName: string | undefined): Destination | undefined {
    const key = serverName ?? "no name";
    this.#publicConnections.set(key, (this.#publicConnections.get(key) ?? 0) + 1);
    const localAddress = internetOrigin;
    if (serverName === resourceManagerHost) {
      return { host: loopback, port: this.#ports.resourceManager, localAddress };
    }
    if (serverName === tenantHost) {
      return { host: loopback, port: this.#ports.tenant, localAddress };
    }
    const [, service] =
      /^[^.]+\.(blob|queue|table)\.core\.windows\.net$/.exec(serverName ?? "") ?? [];
    const isDisk = serverName?.endsWith(".blob.storage.azure.net") === true;
    const port = this.#portOf(isDisk ? "disks" : (service ?? ""));
    return port === undefined ? undefined : { host: loopback, port, localAddress };
  }

  /** An endpoint answers for its own target only. */
  #isServedBy({ targetId, groupId }: LiveEndpoint, serverName: string | undefined): boolean {
    const { resources, privateLinkOf } = this.#theContext();
    const target = resources.get(targetId);
    const parsed = parseResourceId(targetId);
    if (target === undefined || parsed === undefined || serverName === undefined) return false;
    const hosts = privateLinkOf(fullTypeOf(parsed))?.hostNames?.(target, groupId) ?? [];
    const names = hosts.flatMap((host) => [host, privateNameOf(host)]);
    return names.some((name) => name.toLowerCase() === serverName);
  }

  #portOf(groupId: string): number | undefined {
    const { blob, queue, table, disks } = this.#ports;
    return new Map(Object.entries({ blob, queue, table, disks })).get(groupId);
  }

  #theFabric(): Fabric {
    if (this.#fabric === undefined) throw new Error("the fabric is not open");
    return this.#fabric;
  }

  #theContext(): ProviderContext {
    if (this.#context === undefined) throw new Error("no Resource Manager is followed yet");
    return this.#context;
  }
}

function placeOfVm(
  resources: ResourceStore,
  vm: Resource,
): { readonly address: string; readonly networkId: string } | undefined {
  const profile = objectAt(objectAt(vm.body, "properties"), "networkProfile");
  const [first] = objectsAt(profile, "networkInterfaces");
  const nic = resources.get(first === undefined ? "" : (stringAt(first, "id") ?? ""));
  const [configuration] = nic === undefined ? [] : ipConfigurationsOf(nic.body);
  if (configuration === undefined) return undefined;
  const properties = objectAt(configuration, "properties");
  const address = stringAt(properties, "privateIPAddress");
  const subnetId = referenceAt(properties, "subnet");
  if (address === undefined || subnetId === undefined) return undefined;
  return { address, networkId: networkOfSubnet(subnetId) };
}
