import { z } from "zod";
import { ArmError, invalidParameter } from "../arm-error.ts";
import { objectAt, type JsonObject } from "../json.ts";
import { anything, parseBody } from "./body-schema.ts";

const parameterSchema = z.strictObject({ name: z.string(), value: z.string() });

const runCommandSchema = z.strictObject({
  source: z.strictObject({
    script: z.string().optional(),
    scriptUri: z.string().optional(),
    commandId: z.string().optional(),
    galleryScriptReferenceId: z.string().optional(),
    scriptUriManagedIdentity: anything,
    scriptShell: anything,
  }),
  parameters: z.array(parameterSchema).optional(),
  protectedParameters: z.array(parameterSchema).optional(),
  asyncExecution: z.boolean().optional(),
  runAsUser: z.string().optional(),
  runAsPassword: z.string().optional(),
  timeoutInSeconds: z.number().int().min(0).optional(),
  treatFailureAsDeploymentFailure: z.boolean().optional(),
  outputBlobUri: anything,
  errorBlobUri: anything,
  outputBlobManagedIdentity: anything,
  errorBlobManagedIdentity: anything,
  provisioningState: anything,
  instanceView: anything,
});

export type RunCommandProperties = z.infer<typeof runCommandSchema> & { readonly script: string };

/** `maxScriptSize` of the Run Command agent. */
const maxScriptBytes = 256 * 1024;

/** What a run command is asked to do. Only scripts in the body can run here. */
export function parseRunCommandBody(body: JsonObject): RunCommandProperties {
  const parsed = parseBody(
    runCommandSchema,
    objectAt(body, "properties"),
    "VirtualMachineRunCommand",
  );
  const { script, scriptUri, commandId, galleryScriptReferenceId } = parsed.source;
  const given = [script, scriptUri, commandId, galleryScriptReferenceId].filter(
    (source) => source !== undefined && source !== "",
  );
  if (given.length !== 1) {
    throw invalidParameter(
      "source",
      "Exactly one of 'script', 'scriptUri', 'commandId' and 'galleryScriptReferenceId' must be specified.",
    );
  }
  if (script === undefined) throw notSimulated("source", "Only source.script runs here.");
  if (Buffer.byteLength(script) > maxScriptBytes) {
    throw invalidParameter("source.script", "The script is larger than 256 KB.");
  }
  if (parsed.runAsUser !== undefined || parsed.runAsPassword !== undefined) {
    throw notSimulated("runAsUser", "A guest here has no users of its own.");
  }
  return { ...parsed, script };
}

/** Deliberately not Azure's: a call that Azure takes and this cloud cannot must not look like success. */
function notSimulated(target: string, message: string): ArmError {
  return new ArmError(400, "NotSimulated", `${message} Azure would accept it.`, { target });
}
