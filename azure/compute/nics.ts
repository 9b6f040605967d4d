import type { ComputePort } from "#core/ports/compute.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";
import { provisioningOf } from "./provisioning.ts";

type NicCalls = Pick<ComputePort, "startNic" | "startDeleteNic" | "readNicProvisioning">;

export function createNics(clientsOf: ClientsOf): NicCalls {
  return {
    async startNic(request) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(request.nicId);
      await callAzure(`create network interface ${request.nicId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).network.networkInterfaces.createOrUpdate(
            resourceGroup,
            names[0],
            {
              location: request.location,
              tags: { ...request.tags },
              enableAcceleratedNetworking: request.enableAcceleratedNetworking,
              ...(request.networkSecurityGroupId !== undefined && {
                networkSecurityGroup: { id: request.networkSecurityGroupId },
              }),
              // No public address, ever: workers live without one, a restored VM gets its own later.
              ipConfigurations: [
                {
                  name: "ipconfig1",
                  primary: true,
                  subnet: { id: request.subnetId },
                  privateIPAllocationMethod: "Dynamic",
                },
              ],
            },
          ),
        ),
      );
    },

    async startDeleteNic(nicId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(nicId);
      await readAzure(`delete network interface ${nicId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).network.networkInterfaces.delete(resourceGroup, names[0]),
        ),
      );
    },

    async readNicProvisioning(nicId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(nicId);
      const nic = await readAzure(`read network interface ${nicId}`, () =>
        clientsOf(subscriptionId).network.networkInterfaces.get(resourceGroup, names[0]),
      );
      return nic === undefined
        ? undefined
        : { provisioning: provisioningOf(nic.provisioningState) };
    },
  };
}
