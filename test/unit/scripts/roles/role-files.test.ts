import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { actionOf, readOperation } from "../../../../scripts/roles/resource-operations.ts";
import { makeRoles, textOfRole } from "../../../../scripts/roles/role-files.ts";

const root = join(import.meta.dirname, "../../../..");
const snapshots = "azure/compute/snapshots.ts";
const timeoutMs = 60_000;

const copied = ["core", "azure", "functions", "worker-agent", "package.json", "tsconfig.json"];
/** The product's sources once more, to be changed. */
let copy: string;

beforeAll(async () => {
  copy = await realpath(await mkdtemp(join(tmpdir(), "holdfast-roles-")));
  for (const name of copied) await cp(join(root, name), join(copy, name), { recursive: true });
  await mkdir(join(copy, "scripts/roles"), { recursive: true });
  const config = "scripts/roles/tsconfig.json";
  await cp(join(root, config), join(copy, config));
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
});

afterAll(async () => {
  await rm(copy, { recursive: true, force: true });
});

interface Change {
  readonly path: string;
  readonly place: string;
  readonly text: string;
}

/** Roles of the product with one place of it changed. */
async function rolesAfter({ path, place, text }: Change): Promise<ReturnType<typeof makeRoles>> {
  const source = await readFile(join(copy, path), "utf8");
  if (!source.includes(place)) throw new Error(`${path} has no ${place}`);
  await writeFile(
    join(copy, path),
    source.replace(place, () => text),
  );
  try {
    return makeRoles(copy);
  } finally {
    await writeFile(join(copy, path), source);
  }
}

/** The adapter that reads a snapshot does this, too. */
function onReadSnapshot(work: string): Change {
  const start = "async readSnapshot(snapshotId) {";
  return { path: snapshots, place: start, text: `${start}\n${work}` };
}

test("the roles are what the code calls", { timeout: timeoutMs }, async () => {
  const folder = join(root, "infra/roles");
  const expected = [...makeRoles()].map(([file, role]) => [`${file}.json`, textOfRole(role)]);
  const names = await readdir(folder);
  const found = names.map(async (name) => [name, await readFile(join(folder, name), "utf8")]);
  expect(
    Object.fromEntries(await Promise.all(found)),
    "run: node scripts/generate-roles.ts, and look at what changed",
  ).toEqual(Object.fromEntries(expected));
});

test("a call more in an adapter is a right more", { timeout: timeoutMs }, async () => {
  const before = new Set(makeRoles(copy).get("holdfast-source")?.Actions);
  const roles = await rolesAfter(
    onReadSnapshot(`
      const { compute, network } = clientsOf("s");
      await compute.snapshots.updateImmutabilityPolicy("g", "n", {});
      const { powerOff } = compute.virtualMachines;
      await powerOff("g", "n");
      const hidden = () => deeper(network);
      async function deeper({ loadBalancers: group }: typeof network) {
        for await (const each of group.listAll()) return each;
      }
      await hidden();`),
  );
  const after = roles.get("holdfast-source")?.Actions ?? [];
  expect(after.filter((action) => !before.has(action))).toEqual(
    [
      "Microsoft.Compute/locations/diskOperations/read",
      "Microsoft.Compute/locations/operations/read",
      "Microsoft.Compute/snapshots/updateImmutabilityPolicy/action",
      "Microsoft.Compute/virtualMachines/powerOff/action",
      "Microsoft.Network/loadBalancers/read",
    ].filter((action) => !before.has(action)),
  );
});

test("what the generator does not understand is an error", { timeout: timeoutMs }, async () => {
  const refused: readonly (readonly [Change, string])[] = [
    // Nobody said which right an SDK's method needs.
    [
      {
        path: "azure/storage/worker-channel.ts",
        place: "clients.jobs.deleteMessage(",
        text: "clients.jobs.updateMessage(",
      },
      "say in scripts/roles/data-operations.ts what QueueClient.updateMessage asks of a role",
    ],
    // No method of a port leads there.
    [
      {
        path: snapshots,
        place: "function snapshotStateOf",
        text: `export const loose = (clientsOf: ClientsOf) => clientsOf("s").compute.disks.list();
          function snapshotStateOf`,
      },
      "no method of a port leads to disks.list",
    ],
    // A connection beside the SDKs.
    [onReadSnapshot('await fetch("https://example.com");'), `${snapshots} opens connections`],
    // A plain request more than was written down.
    [
      {
        path: "azure/network/private-dns.ts",
        place: "async readZone(zoneId) {",
        text: 'async readZone(zoneId) {\nawait requests.put(zoneId, "2024-06-01", {});',
      },
      "RegionPort.readZone sends the requests",
    ],
    // A role has what its holder does not call.
    [
      { path: "core/repository/format/key-slot.ts", place: "vault.unwrap(", text: "vault.wrap(" },
      "workers: has roles for what it never calls: KeyWrapper.unwrap",
    ],
    // The holder calls what none of its roles has.
    [
      {
        path: "worker-agent/jobs/run-job.ts",
        place: "export async function runJob(",
        text: `export const more = (staging: import("#core/ports/staging.ts").StagingPort) =>
          staging.deleteQueue("url", "name");
          export async function runJob(`,
      },
      "workers: calls what none of its roles in scripts/roles/role-plans.ts has: StagingPort.deleteQueue",
    ],
  ];
  for (const [change, message] of refused) {
    await expect(rolesAfter(change)).rejects.toThrow(message);
  }
});

test("an operation's action follows from what the SDK sends", () => {
  const group = "/subscriptions/{s}/resourceGroups/{g}/providers";
  expect(actionOf("get", `${group}/Microsoft.Network/virtualNetworks`).action).toBe(
    "Microsoft.Network/virtualNetworks/read",
  );
  expect(actionOf("patch", `${group}/Microsoft.Network/virtualNetworks/{v}/subnets/{n}`)).toEqual({
    action: "Microsoft.Network/virtualNetworks/subnets/write",
    type: "Microsoft.Network/virtualNetworks/subnets",
  });
  expect(readOperation("@azure/arm-compute", "snapshots", "grantAccess")).toEqual({
    action: "Microsoft.Compute/snapshots/beginGetAccess/action",
    type: "Microsoft.Compute/snapshots",
    isLongRunning: true,
  });
  expect(readOperation("@azure/arm-compute", "disks", "delete").action).toBe(
    "Microsoft.Compute/disks/delete",
  );
  expect(() => readOperation("@azure/arm-compute", "disks", "vanish")).toThrow("vanish");
});
