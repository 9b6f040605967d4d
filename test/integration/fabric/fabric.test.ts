import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Fabric, type Connection } from "#local/fabric/fabric.ts";
import { listNamespaces } from "#local/fabric/network-namespaces.ts";

const run = promisify(execFile);
const prefix = `t${process.pid.toString(36)}`;
const endpoint = "10.213.7.5";
const other = "10.213.7.6";

let fabric: Fabric;
let service: Server;
const seen: Connection[] = [];
const origins: (string | undefined)[] = [];

/** Runs a small program in the machine and answers what it prints. */
async function runIn(machineId: string, source: string): Promise<string> {
  const [command, ...words] = fabric.machine(machineId)!.commandPrefix;
  const node = [process.execPath, "--input-type=module", "--eval", source];
  return (await run(command, [...words, ...node])).stdout.trim();
}

function connectTo(address: string): string {
  return `
    import { connect } from "node:net";
    const socket = connect({ host: "${address}", port: 443, timeout: 2000 });
    socket.on("connect", () => socket.write("hello"));
    socket.on("timeout", () => socket.destroy(new Error("timeout")));
    socket.on("data", (bytes) => { console.log(String(bytes)); socket.end(); });
    socket.on("error", (error) => console.log(error.code ?? error.message));
    socket.on("close", () => console.log("closed"));
  `;
}

const lookUp = (name: string) => `
  import { lookup } from "node:dns/promises";
  try { console.log((await lookup("${name}", { family: 4 })).address); }
  catch (error) { console.log(error.code); }
`;

beforeAll(async () => {
  service = createServer((socket) => {
    origins.push(socket.remoteAddress);
    socket.on("data", (bytes) => socket.end(`served ${String(bytes)}`));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  const address = service.address();
  const port = typeof address === "object" ? address!.port : 0;
  fabric = await Fabric.open({
    prefix,
    route: (connection) => {
      seen.push(connection);
      if (connection.address !== endpoint) return undefined;
      return { host: "127.0.0.1", port, localAddress: "127.64.0.9" };
    },
    resolve: (name, machineId) =>
      name === "account.blob.core.windows.net" && machineId === "one"
        ? {
            status: "found",
            aliases: ["account.privatelink.blob.core.windows.net"],
            addresses: [endpoint],
          }
        : { status: "no-such-name", aliases: [], addresses: [] },
  });
  await fabric.attach("one", "10.213.7.10");
  await fabric.attach("two", "10.213.7.11");
  await fabric.setServiceAddresses([endpoint, other]);
  await fabric.setRoutes("one", [endpoint, other]);
});

afterAll(async () => {
  await fabric?.[Symbol.asyncDispose]();
  service.close();
  expect((await listNamespaces()).filter((name) => name.startsWith(`${prefix}-`))).toEqual([]);
});

it("brings a connection to a service address where it belongs, and tells by which machine", async () => {
  expect(await runIn("one", connectTo(endpoint))).toBe("served hello\nclosed");
  expect(seen.at(-1)).toEqual({
    machineId: "one",
    address: endpoint,
    port: 443,
    serverName: undefined,
  });
  expect(origins.at(-1)).toBe("127.64.0.9");
});

it("closes what is not routed on", async () => {
  expect(await runIn("one", connectTo(other))).toMatch(/^(ECONNRESET\n)?closed$/);
});

it("has no way to addresses that a machine was not given, and counts the tries", async () => {
  const before = await fabric.readCounters("two");
  expect(await runIn("two", connectTo(endpoint))).toBe("ENETUNREACH\nclosed");
  expect(await runIn("two", connectTo("1.1.1.1"))).toBe("ENETUNREACH\nclosed");
  const after = await fabric.readCounters("two");
  expect(after!.withoutRoute - before!.withoutRoute).toBe(2);
  expect((await fabric.readCounters("one"))!.withoutRoute).toBe(0);
});

it("has no way for IPv6, and counts the tries", async () => {
  const before = await fabric.readCounters("two");
  // Without IPv6 in the kernel the family itself is refused, and there is nothing to count.
  const said = await runIn("two", connectTo("2001:db8::1"));
  expect(said).toMatch(/^(ENETUNREACH|EAFNOSUPPORT|EADDRNOTAVAIL)\nclosed$/);
  const after = await fabric.readCounters("two");
  const tries = said.startsWith("ENETUNREACH") ? 1 : 0;
  expect(after!.withoutRoute6 - before!.withoutRoute6).toBe(tries);
  expect(after!.withoutRoute).toBe(before!.withoutRoute);
});

it("answers names by the machine that asks", async () => {
  expect(await runIn("one", lookUp("account.blob.core.windows.net"))).toBe(endpoint);
  expect(await runIn("two", lookUp("account.blob.core.windows.net"))).toBe("ENOTFOUND");
});

it("takes an address away together with its route", async () => {
  await fabric.setServiceAddresses([other]);
  expect(await runIn("one", connectTo(endpoint))).not.toContain("served");
  await fabric.setRoutes("one", []);
  expect(await runIn("one", connectTo(endpoint))).toBe("ENETUNREACH\nclosed");
  await fabric.setServiceAddresses([endpoint]);
  await fabric.setRoutes("one", [endpoint]);
  expect(await runIn("one", connectTo(endpoint))).toBe("served hello\nclosed");
});

it("gives the address of a machine that left with a connection that cannot end to another", async () => {
  const address = "10.213.7.12";
  await fabric.attach("three", address);
  await fabric.setRoutes("three", [endpoint]);
  const [command, ...words] = fabric.machine("three")!.commandPrefix;
  const source = `
    import { connect } from "node:net";
    connect({ host: "${endpoint}", port: 443 }, () => console.log("connected"));
    setInterval(() => undefined, 1000);
  `;
  const program = spawn(command, [...words, process.execPath, "--input-type=module", "-e", source]);
  await once(program.stdout, "data");
  await fabric.setRoutes("three", []);
  program.kill("SIGKILL");
  await once(program, "exit");
  await fabric.detach("three");
  await fabric.attach("four", address);
  await fabric.setRoutes("four", [endpoint]);
  expect(await runIn("four", connectTo(endpoint))).toBe("served hello\nclosed");
});
