/**
 * Linux network namespaces through `ip` (iproute2): the networks of machines that must reach nothing
 * but what they are given. All names start with a prefix of their stack, so that what a killed stack
 * left is found and removed by the next one.
 */
import { execFile } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/** Files here appear as /etc/... to programs that `ip netns exec` starts (ip-netns(8)). */
const configurationFolder = "/etc/netns";

/** Runs `ip`; an error carries what it said. */
export async function ip(...words: string[]): Promise<string> {
  try {
    return (await run("ip", words)).stdout;
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : error;
    throw new Error(`ip ${words.join(" ")} failed: ${String(said)}`, { cause: error });
  }
}

/** Throws with what to do when this machine cannot have network namespaces. */
export async function requireNetworkNamespaces(): Promise<void> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) {
    throw new Error("Network namespaces need Linux and root. Run this as root on Linux.");
  }
  try {
    await run("ip", ["-Version"]);
  } catch (error) {
    throw new Error("The program `ip` is missing. Install it: apt-get install --yes iproute2", {
      cause: error,
    });
  }
}

export async function createNamespace(name: string, nameserver: string): Promise<void> {
  await ip("netns", "add", name);
  await ip("-n", name, "link", "set", "lo", "up");
  const folder = join(configurationFolder, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "resolv.conf"), `nameserver ${nameserver}\noptions timeout:2\n`);
  // The machine's own hosts file names the machine that the stack runs on.
  await writeFile(join(folder, "hosts"), "127.0.0.1 localhost\n");
}

/** Removes the namespace with its interfaces; no error when it is not there. */
export async function removeNamespace(name: string): Promise<void> {
  if ((await listNamespaces()).includes(name)) await ip("netns", "delete", name);
  await rm(join(configurationFolder, name), { recursive: true, force: true });
}

export async function listNamespaces(): Promise<string[]> {
  const lines = (await ip("netns", "list")).split("\n");
  return lines.map((line) => line.split(" ")[0] ?? "").filter((name) => name !== "");
}

/** What a stack with this prefix left behind, or an earlier life of it. */
export async function removeNamespacesOf(prefix: string): Promise<void> {
  for (const name of await listNamespaces())
    if (name.startsWith(prefix)) await removeNamespace(name);
  const folders = await readdir(configurationFolder).catch(() => []);
  for (const name of folders) if (name.startsWith(prefix)) await removeNamespace(name);
}

/** A cable between two namespaces: `left` and `right` name its ends there. */
export async function connectNamespaces(
  left: { readonly namespace: string; readonly device: string },
  right: { readonly namespace: string; readonly device: string },
): Promise<void> {
  const leftEnd = [left.device, "netns", left.namespace];
  const rightEnd = [right.device, "netns", right.namespace];
  await ip("link", "add", ...leftEnd, "type", "veth", "peer", "name", ...rightEnd);
  for (const { namespace, device } of [left, right]) {
    await ip("-n", namespace, "link", "set", device, "up");
  }
}

/** Words before a command line that make it run in the namespace. */
export function commandPrefixOf(namespace: string): readonly [string, ...string[]] {
  return ["ip", "netns", "exec", namespace];
}

export interface PacketCounters {
  /** Packets and connections of IPv4 that were given up because no route leads to their address. */
  readonly withoutRoute: number;
  /** The same of IPv6, which no machine has a way for. */
  readonly withoutRoute6: number;
  readonly sent: number;
}

/**
 * `IpOutNoRoutes` and `IpOutRequests` of /proc/net/snmp, `Ip6OutNoRoutes` of /proc/net/snmp6
 * (RFC 4293, ipSystemStatsOutNoRoutes); a kernel without IPv6 has no such file and counts nothing.
 */
export async function readPacketCounters(namespace: string): Promise<PacketCounters> {
  const command = "cat /proc/net/snmp; cat /proc/net/snmp6 2>/dev/null || true";
  const lines = (await ip("netns", "exec", namespace, "sh", "-c", command)).split("\n");
  const [names, values] = lines.map((line) => line.split(" "));
  const valueOf = (name: string): number => Number(values?.[names?.indexOf(name) ?? -1]);
  const [, outNoRoutes6 = "0"] =
    lines.map((line) => line.split(/\s+/)).find(([name]) => name === "Ip6OutNoRoutes") ?? [];
  return {
    withoutRoute: valueOf("OutNoRoutes"),
    withoutRoute6: Number(outNoRoutes6),
    sent: valueOf("OutRequests"),
  };
}
