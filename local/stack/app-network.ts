/**
 * The app in its own network namespace, as on a plan with VNet integration: an address in the
 * control plane's network, a way to public addresses, and two doors that App Service has too: the
 * token endpoint on the app's loopback, and the front end through which its API is called.
 */
import { connect, createServer } from "node:net";
import { Gateway } from "#local/fabric/gateway-process.ts";
import { join } from "#local/fabric/gateway-protocol.ts";
import type { Deployment } from "./deployment.ts";
import type { StackPorts } from "./ports.ts";
import type { PrivateNetwork } from "./private-network.ts";

const loopback = "127.0.0.1";
const machineId = "app";

export interface AppNetwork extends AsyncDisposable {
  readonly commandPrefix: readonly string[];
}

export async function enterAppNetwork(
  network: PrivateNetwork,
  deployment: Deployment,
  ports: StackPorts,
): Promise<AppNetwork> {
  await using parts = new AsyncDisposableStack();
  const { appAddress, networkId } = deployment.controlNetwork;
  const machine = { address: appAddress, networkId, hasInternet: true };
  const commandPrefix = await network.enter(machineId, machine);
  const gateway = parts.use(
    await Gateway.start({
      namespace: network.namespaceOf(machineId),
      onConnection: (_, socket) => {
        const target = connect(ports.identity, loopback, () => join(socket, target));
        target.once("error", () => socket.destroy());
      },
      onDatagram: () => undefined,
    }),
  );
  await gateway.listen([{ address: loopback, port: ports.identity, protocol: "tcp" }]);
  const door = await gateway.openDoor("api", loopback, ports.api);
  const front = createServer((socket) => {
    const target = connect(door, () => join(socket, target));
    target.once("error", () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    front.once("error", reject);
    front.listen(ports.api, loopback, resolve);
  });
  parts.defer(() => void front.close());
  const running = parts.move();
  return { commandPrefix, [Symbol.asyncDispose]: () => running.disposeAsync() };
}
