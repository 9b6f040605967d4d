import { z } from "zod";
import { ArmError } from "../arm-error.ts";
import { objectsAt, stringAt, type JsonValue } from "../json.ts";
import type { ActionHandler, WorkContext, WorkRunner } from "../provider.ts";
import { idKey } from "../resource-id.ts";
import { parseBody } from "./body-schema.ts";
import type { ComputeServices } from "./compute-services.ts";
import { requireRunningGuest } from "./run-commands.ts";
import { updateInternal, vmIdOf } from "./vm-state.ts";

/** The action form runs 90 minutes at most (ACD/linux/run-command.md). */
const maxRunSeconds = 90 * 60;

const actionSchema = z.strictObject({
  commandId: z.string(),
  script: z.array(z.string()).optional(),
  parameters: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
});

/**
 * `POST .../runCommand`: one script at a time on a VM, last 4,096 bytes of its output as result.
 */
export function runCommandAction(): ActionHandler {
  return {
    exclusive: false,
    handle: (request) => {
      const body = parseBody(actionSchema, request.body, "RunCommandInput");
      if (body.commandId !== "RunShellScript") {
        throw new ArmError(
          404,
          "NotFound",
          `The entity ${body.commandId} was not found in this Azure location: only RunShellScript exists here.`,
        );
      }
      const vm = requireRunningGuest(request, request.id);
      if (vm.internal["actionRunId"] !== undefined) {
        throw new ArmError(
          409,
          "Conflict",
          "Run command extension execution is in progress. Please wait for completion before invoking a run command.",
        );
      }
      const runId = `action-${request.newGuid()}`;
      updateInternal(request.resources, request.id, { actionRunId: runId });
      return {
        kind: "accepted",
        work: {
          name: "runCommand",
          style: "both",
          input: {
            runId,
            script: (body.script ?? []).join("\n"),
            parameters: (body.parameters ?? []).map(({ name, value }) => ({ name, value })),
          },
        },
      };
    },
  };
}

export function runCommandActionWork(services: ComputeServices): WorkRunner {
  return async (context) => {
    try {
      return await runAction(services, context);
    } finally {
      if (!context.signal.aborted) forgetRun(context);
    }
  };
}

async function runAction(
  services: ComputeServices,
  context: WorkContext,
): Promise<JsonValue | undefined> {
  const vm = context.current();
  if (vm === undefined) return undefined;
  const runId = stringAt(context.input, "runId") ?? "";
  const script =
    (await services.host.adoptScript(vmIdOf(vm), runId)) ??
    (await services.host.startScript({
      vmId: vmIdOf(vm),
      runId,
      script: stringAt(context.input, "script") ?? "",
      parameters: objectsAt(context.input, "parameters").map((parameter) => ({
        name: stringAt(parameter, "name") ?? "",
        value: stringAt(parameter, "value") ?? "",
      })),
      timeoutSeconds: maxRunSeconds,
      metadataEndpoint: services.metadata.get(idKey(vm.id))?.origin,
    }));
  // When the simulator stops the operation stays open and finds the script again after the start.
  const { state } = await Promise.race([script.finished, rejectedByAbort(context.signal)]);
  const { output, error } = await script.readTail();
  const isDone = state === "Succeeded" || state === "Failed";
  return {
    value: [
      {
        code: `ProvisioningState/${isDone ? "succeeded" : "failed"}`,
        level: isDone ? "Info" : "Error",
        displayStatus: isDone ? "Provisioning succeeded" : "Provisioning failed",
        message: `Enable succeeded: \n[stdout]\n${output}\n[stderr]\n${error}`,
      },
    ],
  };
}

function rejectedByAbort(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(new Error("the simulator stops", { cause: signal.reason }));
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  return promise;
}

function forgetRun(context: WorkContext): void {
  const vm = context.current();
  if (vm === undefined) return;
  const { actionRunId: _, ...internal } = vm.internal;
  context.resources.put(vm.id, { body: vm.body, internal });
}
