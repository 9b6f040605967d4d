import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, fetch } from "undici";
import {
  failureSchema,
  stackFileName,
  stackFileSchema,
  verbs,
  type StackFile,
  type VerbInput,
  type VerbName,
  type VerbOutput,
} from "./control-protocol.ts";
import { isRunning } from "./state-lock.ts";

/** The stack of a state directory, or undefined when none runs there. */
export async function findStack(stateDirectory: string): Promise<StackFile | undefined> {
  let text: string;
  try {
    text = await readFile(join(stateDirectory, stackFileName), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  const stack = stackFileSchema.parse(JSON.parse(text));
  return isRunning(stack.processId) ? stack : undefined;
}

/** Runs a verb on the stack of a state directory. Throws with the stack's own words. */
export async function callStack<Name extends VerbName>(
  stateDirectory: string,
  name: Name,
  input: VerbInput<Name>,
): Promise<VerbOutput<Name>> {
  const stack = await findStack(stateDirectory);
  if (stack === undefined) {
    throw new Error(`No stack runs on ${stateDirectory}. Start one: npm run local -- up --detach`);
  }
  // Importing or exporting a large disk takes its time before the answer begins.
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  try {
    const response = await fetch(new URL(name, stack.controlUrl), {
      method: "POST",
      headers: { authorization: `Bearer ${stack.controlToken}` },
      body: JSON.stringify(input),
      dispatcher,
    });
    const body: unknown = await response.json();
    if (!response.ok) throw new Error(failureSchema.parse(body).error);
    return verbs[name].output.parse(body) as VerbOutput<Name>;
  } finally {
    await dispatcher.close();
  }
}
