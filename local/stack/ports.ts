import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { z } from "zod";

/**
 * The ports of one stack. They are chosen once and kept in the state directory: addresses of services
 * are part of what the stack stores (endpoints of accounts, results of finished steps).
 */
const portsSchema = z.object({
  api: z.number(),
  control: z.number(),
  resourceManager: z.number(),
  /** Tenant's keys, for who validates tokens. */
  tenant: z.number(),
  /** Token endpoint of the app's managed identity. */
  identity: z.number(),
  disks: z.number(),
  blob: z.number(),
  queue: z.number(),
  table: z.number(),
});
export type StackPorts = z.infer<typeof portsSchema>;

const portNames = portsSchema.keyof().options;
/** Below the range that Linux and macOS take ports of outgoing connections from. */
const firstPort = 20_000;
const lastPort = 31_990;
const attemptCountMax = 200;

/**
 * The ports that this state directory has, else new ones: `base`, `base + 1`, ..., or free ones.
 * Throws when a port of the directory, or of the given base, is taken by another process.
 */
export async function choosePorts(stateDirectory: string, base?: number): Promise<StackPorts> {
  const file = join(stateDirectory, "ports.json");
  const known = await readPorts(file);
  const ports = known ?? (base === undefined ? await findFreePorts() : portsFrom(base));
  for (const [name, port] of Object.entries(ports)) {
    if (await isFree(port)) continue;
    throw new Error(
      `Port ${port} (${name}) is in use. Stop what listens there, or use another state directory ` +
        `(--state) with its own ports (--port-base).`,
    );
  }
  if (known === undefined) await writeFile(file, JSON.stringify(ports, undefined, 2));
  return ports;
}

async function readPorts(file: string): Promise<StackPorts | undefined> {
  try {
    return portsSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new Error(`${file} is damaged.`, { cause: error });
  }
}

function portsFrom(base: number): StackPorts {
  return portsSchema.parse(
    Object.fromEntries(portNames.map((name, index) => [name, base + index])),
  );
}

async function findFreePorts(): Promise<StackPorts> {
  for (let attempt = 0; attempt < attemptCountMax; attempt++) {
    const blockCount = Math.floor((lastPort - firstPort) / portNames.length);
    const base = firstPort + Math.floor(Math.random() * blockCount) * portNames.length;
    const ports = portsFrom(base);
    const free = await Promise.all(Object.values(ports).map(isFree));
    if (free.every(Boolean)) return ports;
  }
  throw new Error(
    `No ${portNames.length} free ports in a row between ${firstPort} and ${lastPort}.`,
  );
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => resolve(true));
  });
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}
