/**
 * What an operation of a management SDK sends, read from the SDK's own code, and the action of Azure
 * RBAC that Resource Manager asks for it: the resource type and `read`, `write`, `delete`, or for a
 * POST the last part of its path and `action`.
 * Source: learn.microsoft.com/azure/role-based-access-control/resource-provider-operations.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./program.ts";

/** The SDKs whose calls go to Resource Manager. */
export const managementPackages: readonly string[] = [
  "@azure/arm-compute",
  "@azure/arm-network",
  "@azure/arm-storage",
];

export interface ResourceOperation {
  /** `Microsoft.Compute/snapshots/write` */
  readonly action: string;
  /** `Microsoft.Compute/snapshots` */
  readonly type: string;
  /** Whether a client that waits for its end asks for the state of an operation. */
  readonly isLongRunning: boolean;
}

const verbs: Readonly<Record<string, string>> = {
  get: "read",
  head: "read",
  put: "write",
  patch: "write",
  delete: "delete",
};

/**
 * @param group property of the client, which is the folder of its code: `snapshots`
 * @throws Error where the SDK's code does not say
 */
export function readOperation(
  packageName: string,
  group: string,
  method: string,
): ResourceOperation {
  const file = join(
    projectRoot,
    "node_modules",
    packageName,
    "dist/esm/api",
    group,
    "operations.js",
  );
  const text = readFileSync(file, "utf8");
  const name = method === "delete" ? "$delete" : method;
  const sent = bodyOf(text, `_${name}Send`);
  const path = /expandUrlTemplate\("([^"]+)"/.exec(sent)?.[1]?.replace(/\{\?.*$/, "");
  const verb = /context\s*\.path\(path\)\s*\.(\w+)\(/.exec(sent)?.[1];
  if (path === undefined || verb === undefined) {
    throw new Error(`${packageName} does not say what ${group}.${method} sends`);
  }
  const isLongRunning = bodyOf(text, name).includes("getLongRunningPoller(");
  return { ...actionOf(verb, path), isLongRunning };
}

/** @param path as Resource Manager takes it, with `{name}` for what varies */
export function actionOf(verb: string, path: string): { action: string; type: string } {
  const provider = path.slice(path.lastIndexOf("/providers/") + "/providers/".length);
  const [namespace = "", ...parts] = provider.split("/");
  const isPost = verb.toLowerCase() === "post";
  const names = parts.filter((_, index) => index % 2 === 0);
  // Types and names take turns; a POST has one more word, its action.
  const types = isPost ? names.slice(0, -1) : names;
  const type = [namespace, ...types].join("/");
  const right = isPost ? `${parts.at(-1) ?? ""}/action` : verbs[verb.toLowerCase()];
  if (right === undefined || (isPost && parts.length % 2 === 0)) {
    throw new Error(`no action is known for ${verb} ${path}`);
  }
  return { action: `${type}/${right}`, type };
}

/** Text of an exported function, up to the brace that closes it at the start of a line. */
function bodyOf(text: string, functionName: string): string {
  const start = text.indexOf(`function ${functionName}(`);
  if (start < 0) throw new Error(`no function ${functionName} in the SDK's code`);
  return text.slice(start, text.indexOf("\n}", start));
}
