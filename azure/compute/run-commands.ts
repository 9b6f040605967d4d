import type { ComputePort, RunCommandState } from "#core/ports/compute.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";

type RunCommandCalls = Pick<ComputePort, "startRunCommand" | "readRunCommand">;

export function createRunCommands(clientsOf: ClientsOf): RunCommandCalls {
  function readInstance(vmResourceId: string, name: string) {
    const { subscriptionId, resourceGroup, names } = parseResourceId(vmResourceId);
    return readAzure(`read run command ${name} of ${vmResourceId}`, () =>
      clientsOf(subscriptionId).compute.virtualMachineRunCommands.getByVirtualMachine(
        resourceGroup,
        names[0],
        name,
        // Without it the answer has no execution state.
        { expand: "instanceView" },
      ),
    );
  }

  return {
    async startRunCommand(request) {
      // A second PUT would run the script again.
      if ((await readInstance(request.vmResourceId, request.name)) !== undefined) return;
      const { subscriptionId, resourceGroup, names } = parseResourceId(request.vmResourceId);
      await callAzure(`start run command ${request.name} on ${request.vmResourceId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.virtualMachineRunCommands.createOrUpdate(
            resourceGroup,
            names[0],
            request.name,
            {
              location: request.location,
              source: { script: request.script },
              parameters: pairsOf(request.parameters),
              protectedParameters: pairsOf(request.protectedParameters),
              // The VM counts as provisioned once the script has begun; its end is read separately.
              asyncExecution: true,
              timeoutInSeconds: request.timeoutSeconds,
              treatFailureAsDeploymentFailure: false,
            },
          ),
        ),
      );
    },

    async readRunCommand(vmResourceId, name) {
      const found = await readInstance(vmResourceId, name);
      if (found === undefined) return undefined;
      const view = found.instanceView;
      return {
        executionState: executionStateOf(view?.executionState),
        exitCode: view?.exitCode,
        output: view?.output ?? "",
        error: view?.error ?? "",
      };
    },
  };
}

function pairsOf(values: Readonly<Record<string, string>>): { name: string; value: string }[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

function executionStateOf(state: string | undefined): RunCommandState["executionState"] {
  switch (state) {
    case "Running":
    case "Succeeded":
    case "Failed":
    case "TimedOut":
    case "Canceled":
      return state;
    case undefined:
    default:
      // `Unknown`, or no instance view yet: the VM agent has not reported.
      return "Pending";
  }
}
