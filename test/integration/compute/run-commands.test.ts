import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { VirtualMachineRunCommand } from "@azure/arm-compute";
import {
  attachBody,
  createEmptyDisk,
  group,
  imageBody,
  quick,
  refusalOf,
  region,
  startComputeCloud,
  vmId,
  type ComputeCloud,
} from "./compute-cloud.ts";

/** Generous: the machine that runs the tests may be busy with other things. */
const eventually = { interval: 50, timeout: 20_000 };

let cloud: ComputeCloud;
let guestId: string;

beforeAll(async () => {
  cloud = await startComputeCloud();
  guestId = await createGuest(cloud, "guest");
});
afterAll(async () => cloud.close());

async function createGuest(on: ComputeCloud, name: string, more = {}): Promise<string> {
  const body = imageBody(on.nic(`${name}-nic`), {
    identity: { type: "SystemAssigned" },
    ...more,
  });
  const vm = await on.client.virtualMachines.createOrUpdate(group, name, body, quick);
  return vm.vmId ?? "";
}

function start(vm: string, name: string, command: Partial<VirtualMachineRunCommand>) {
  return cloud.client.virtualMachineRunCommands.createOrUpdate(
    group,
    vm,
    name,
    { location: region, ...command },
    quick,
  );
}

async function viewOf(vm: string, name: string, on = cloud) {
  const found = await on.client.virtualMachineRunCommands.getByVirtualMachine(group, vm, name, {
    expand: "instanceView",
  });
  return found.instanceView;
}

it("runs no managed command on Arm64: the extension is for x64 only", async () => {
  const { storageProfile } = imageBody("");
  await createGuest(cloud, "arm", {
    hardwareProfile: { vmSize: "Standard_D2ps_v5" },
    storageProfile: {
      ...storageProfile,
      imageReference: { ...storageProfile?.imageReference, sku: "server-arm64" },
    },
  });
  const refused = await refusalOf(start("arm", "install", { source: { script: "true" } }));
  expect(refused).toBe("404 ExtensionNotFoundForCPUArchitecture");
});

it("runs a script for real, with parameters, and returns no protected one", async () => {
  // The reads of one VM are throttled like everyone's; so is this test's clock moved on.
  cloud.advance(600_000);
  const made = await start("guest", "hello", {
    source: { script: '#!/bin/bash\necho "$NAME ${#SECRET} $1"; echo oops >&2' },
    parameters: [
      { name: "NAME", value: "world" },
      { name: "", value: "positional" },
    ],
    protectedParameters: [{ name: "SECRET", value: "hidden-value" }],
  });
  expect(made.protectedParameters).toBeUndefined();
  expect(await viewOf("guest", "hello")).toMatchObject({
    executionState: "Succeeded",
    exitCode: 0,
    output: "world 12 positional\n",
    error: "oops\n",
  });
  const listed: VirtualMachineRunCommand[] = [];
  const { virtualMachineRunCommands } = cloud.client;
  for await (const found of virtualMachineRunCommands.listByVirtualMachine(group, "guest")) {
    listed.push(found);
  }
  expect(listed).toHaveLength(1);
  const get = await virtualMachineRunCommands.getByVirtualMachine(group, "guest", "hello");
  expect(get.instanceView).toBeUndefined();
  expect(JSON.stringify([listed, get])).not.toContain("hidden-value");
  const state = await readFile(join(cloud.directory, "resource-manager.json"), "utf8");
  expect(state).toContain("/runCommands/hello");
  expect(state).not.toContain("hidden-value");
});

it("tells failure, its exit code and a timeout", async () => {
  cloud.advance(600_000);
  await start("guest", "failing", { source: { script: "exit 9" } });
  expect(await viewOf("guest", "failing")).toMatchObject({ executionState: "Failed", exitCode: 9 });
  expect(
    await refusalOf(
      start("guest", "strict", {
        source: { script: "exit 9" },
        treatFailureAsDeploymentFailure: true,
      }),
    ),
  ).toBe("failed VMExtensionProvisioningError");
  await start("guest", "slow", { source: { script: "sleep 600" }, timeoutInSeconds: 1 });
  expect(await viewOf("guest", "slow")).toMatchObject({ executionState: "TimedOut" });
});

it("returns from an asynchronous command at once and reports its end later", async () => {
  cloud.advance(600_000);
  const flag = join(cloud.host.directoryOf(guestId).tmp, "go");
  const script = `echo begun; while [ ! -e '${flag}' ]; do sleep 0.05; done; echo done`;
  await start("guest", "later", { source: { script }, asyncExecution: true });
  await expect
    .poll(async () => (await viewOf("guest", "later"))?.output, eventually)
    .toBe("begun\n");
  expect(await viewOf("guest", "later")).toMatchObject({ executionState: "Running" });
  await promisify(execFile)("touch", [flag]);
  await expect
    .poll(async () => {
      cloud.advance(60_000);
      return viewOf("guest", "later");
    }, eventually)
    .toMatchObject({ executionState: "Succeeded", output: "begun\ndone\n" });
});

it("runs commands only on running machines with an agent", async () => {
  cloud.advance(600_000);
  const source = { script: "true" };
  const os = await createEmptyDisk(cloud, "bare-os", { osType: "Linux" });
  const body = attachBody(os, [cloud.nic("bare-nic")]);
  await cloud.client.virtualMachines.createOrUpdate(group, "bare", body, quick);
  expect(await refusalOf(start("bare", "x", { source }))).toBe("409 OperationNotAllowed");
  await createGuest(cloud, "off");
  await cloud.client.virtualMachines.deallocate(group, "off", quick);
  expect(await refusalOf(start("off", "x", { source }))).toBe("409 OperationNotAllowed");
  expect(await refusalOf(start("none", "x", { source }))).toBe("404 ParentResourceNotFound");
  expect(await refusalOf(start("guest", "x", { source: {} }))).toBe("400 InvalidParameter");
  expect(await refusalOf(start("guest", "x", { source, runAsUser: "u" }))).toBe("400 NotSimulated");
});

it("lets one action run command run at a time and returns its last 4096 bytes", async () => {
  cloud.advance(600_000);
  const flag = join(cloud.host.directoryOf(guestId).tmp, "go-action");
  const action = (script: string) =>
    cloud.client.virtualMachines.runCommand(
      group,
      "guest",
      { commandId: "RunShellScript", script: [script] },
      quick,
    );
  const first = Promise.resolve(
    action(`while [ ! -e '${flag}' ]; do sleep 0.05; done; seq 1 3000`),
  );
  await expect
    .poll(async () => {
      const processes = await cloud.host.listProcesses(guestId);
      return processes.some(({ commandLine }) => commandLine.includes("/action-"));
    }, eventually)
    .toBe(true);
  expect(await refusalOf(action("true"))).toBe("409 Conflict");
  await promisify(execFile)("touch", [flag]);
  const message = (await first).value?.[0]?.message ?? "";
  const output = message.slice(message.indexOf("[stdout]\n") + 9, message.indexOf("\n[stderr]"));
  expect(Buffer.byteLength(output)).toBe(4096);
  expect(output.endsWith("3000\n")).toBe(true);
  await action("true");
});

it("gives the guest its machine's identity", async () => {
  cloud.advance(600_000);
  const script = `#!/bin/bash
curl -fsS -H Metadata:true "$AZURE_POD_IDENTITY_AUTHORITY_HOST/metadata/instance/compute?api-version=2021-02-01"
curl -fsS -H Metadata:true "$AZURE_POD_IDENTITY_AUTHORITY_HOST/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://storage.azure.com/" | cut -c1-17`;
  await start("guest", "identity", { source: { script } });
  const view = await viewOf("guest", "identity");
  expect(view?.error).toBe("");
  expect(view?.output).toContain(vmId("guest"));
  expect(view?.output).toContain('{"access_token":"');
});

it("ends every daemon of a machine that is deallocated or deleted", async () => {
  cloud.advance(600_000);
  const daemon =
    "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &";
  for (const [name, end] of [
    ["stopped", () => cloud.client.virtualMachines.deallocate(group, "stopped", quick)],
    ["deleted", () => cloud.client.virtualMachines.delete(group, "deleted", quick)],
  ] as const) {
    const id = await createGuest(cloud, name);
    await start(name, "daemon", { source: { script: daemon } });
    await expect
      .poll(async () => (await cloud.host.listProcesses(id)).length, eventually)
      .toBeGreaterThan(0);
    await end();
    expect(await cloud.host.listProcesses(id)).toEqual([]);
  }
});

it("runs custom data that is a script and evicts Spot machines", async () => {
  const body = imageBody(cloud.nic("spot-nic"));
  const script = "#!/bin/sh\necho booted > $HOME/boot\nexec sleep 600";
  const id = await createGuest(cloud, "spot", {
    priority: "Spot",
    evictionPolicy: "Delete",
    osProfile: { ...body.osProfile, customData: Buffer.from(script).toString("base64") },
  });
  const boot = join(cloud.host.directoryOf(id).home, "boot");
  await expect
    .poll(async () => readFile(boot, "utf8").catch(() => ""), eventually)
    .toBe("booted\n");
  const vm = await cloud.client.virtualMachines.get(group, "spot");
  expect(vm.osProfile?.customData).toBeUndefined();
  await cloud.provider.evict(vmId("spot"));
  expect(await cloud.host.listProcesses(id)).toEqual([]);
  expect(await refusalOf(cloud.client.virtualMachines.get(group, "spot"))).toBe(
    "404 ResourceNotFound",
  );
});

it("finds a running command and the identity again after a restart", async () => {
  const first = await startComputeCloud();
  const id = await createGuest(first, "lasting");
  const flag = join(first.host.directoryOf(id).tmp, "go");
  await first.client.virtualMachineRunCommands.createOrUpdate(
    group,
    "lasting",
    "long",
    {
      location: region,
      asyncExecution: true,
      source: {
        script: `while [ ! -e '${flag}' ]; do sleep 0.05; done; echo "$AZURE_POD_IDENTITY_AUTHORITY_HOST"`,
      },
    },
    quick,
  );
  await expect
    .poll(async () => (await viewOf("lasting", "long", first))?.executionState, eventually)
    .toBe("Running");
  await first.close(true);
  const second = await startComputeCloud({ directory: first.directory });
  try {
    await promisify(execFile)("touch", [flag]);
    await expect
      .poll(async () => viewOf("lasting", "long", second), eventually)
      .toMatchObject({ executionState: "Succeeded" });
    const endpoint = (await viewOf("lasting", "long", second))?.output?.trim() ?? "";
    const answer = await fetch(`${endpoint}/metadata/instance?api-version=2021-02-01`, {
      headers: { Metadata: "true" },
    });
    expect(answer.status).toBe(200);
  } finally {
    await second.close();
  }
});
