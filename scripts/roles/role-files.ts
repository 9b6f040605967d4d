/**
 * The role definitions of `infra/roles`, made of what the code calls (`port-calls.ts`) and of who calls
 * it where (`role-plans.ts`). Throws where the two do not fit: a call that no role has, a role for
 * what nobody calls.
 */
import { rightsOfMethod, type Rights } from "./data-operations.ts";
import { linkedActions } from "./linked-actions.ts";
import { actionOfPlainRequest, connectingFiles, plainRequests } from "./own-requests.ts";
import { findPortCalls, findPortUses, type PortCalls, type SdkCall } from "./port-calls.ts";
import { openProgram, type ProductProgram } from "./program.ts";
import { readOperation } from "./resource-operations.ts";
import { rightsOfBuiltInRoles, rolePlans, type RolePlan } from "./role-plans.ts";

/** As `az role definition create` takes it. */
export interface RoleDefinition {
  readonly Name: string;
  readonly IsCustom: true;
  readonly Description: string;
  readonly Actions: readonly string[];
  readonly NotActions: readonly string[];
  readonly DataActions: readonly string[];
  readonly NotDataActions: readonly string[];
  readonly AssignableScopes: readonly string[];
}

interface Right {
  readonly name: string;
  readonly isData: boolean;
  /** Asked for besides it, by a client that waits for the operation's end. */
  readonly poll?: string | undefined;
}

/** Folders whose code runs as each identity; `core` is called by both. */
const foldersOf: Readonly<Record<RolePlan["holder"], readonly string[]>> = {
  "control plane": ["functions"],
  workers: ["worker-agent", "core"],
};

/** Of the formatter. */
const LINE_LENGTH_MAX = 100;

/** Where an operation that is waited for is looked at. */
const operationReads: readonly (readonly [type: RegExp, action: string])[] = [
  [
    /^Microsoft\.Compute\/(disks|snapshots|diskAccesses)$/,
    "Microsoft.Compute/locations/diskOperations/read",
  ],
  [/^Microsoft\.Compute\//, "Microsoft.Compute/locations/operations/read"],
  [/^Microsoft\.Network\//, "Microsoft.Network/locations/operations/read"],
];

/**
 * File names without `.json`, and what belongs into them.
 *
 * @param root of a copy of the sources, for tests
 */
export function makeRoles(root?: string): ReadonlyMap<string, RoleDefinition> {
  using program = openProgram(root);
  const found = findPortCalls(program);
  const rights = new Map([...found.methods].map(([name, calls]) => [name, rightsOf(name, calls)]));
  refuseUnreached(found);
  for (const holder of ["control plane", "workers"] as const)
    refuseMisfits(program, rights, holder);
  return new Map(rolePlans.map((plan) => [plan.file, roleOf(plan, rights)]));
}

/** A role's file: JSON as the formatter leaves it. */
export function textOfRole(role: RoleDefinition): string {
  const text = JSON.stringify(role, undefined, 2);
  const lists = text.replaceAll(
    /^( *"\w+": )\[\s*([^\]]+?)\s*\]/gm,
    (list: string, name: string, items: string) => {
      const line = `${name}[${items.replaceAll(/,\s+/g, ", ")}]`;
      return line.length < LINE_LENGTH_MAX ? line : list;
    },
  );
  return `${lists}\n`;
}

function roleOf(plan: RolePlan, rights: ReadonlyMap<string, readonly Right[]>): RoleDefinition {
  const granted = grantedBy(plan, rights);
  const namesOf = (isData: boolean): string[] => {
    const some = granted.filter((right) => right.isData === isData);
    return [
      ...new Set(some.flatMap(({ name, poll }) => (poll === undefined ? [name] : [name, poll]))),
    ].sort();
  };
  return {
    Name: plan.name,
    IsCustom: true,
    Description: plan.description,
    Actions: namesOf(false),
    NotActions: [],
    DataActions: namesOf(true),
    NotDataActions: [],
    AssignableScopes: ["/subscriptions/<subscription>"],
  };
}

interface Granted extends Right {
  readonly method: string;
}

function grantedBy(plan: RolePlan, rights: ReadonlyMap<string, readonly Right[]>): Granted[] {
  return plan.grants.flatMap(({ methods, on, without }) =>
    methods.flatMap((method) => {
      const granted = (rights.get(method) ?? []).filter(
        ({ name }) =>
          (on === undefined || on.includes(typeOfRight(name))) && without?.includes(name) !== true,
      );
      if (granted.length === 0)
        throw new Error(`${plan.file} has ${method}, which asks for nothing`);
      return granted.map((right) => ({ ...right, method }));
    }),
  );
}

/** `Microsoft.Compute/disks` of `Microsoft.Compute/disks/beginGetAccess/action`. */
function typeOfRight(name: string): string {
  return name
    .split("/")
    .slice(0, name.endsWith("/action") ? -2 : -1)
    .join("/");
}

function rightsOf(method: string, calls: readonly SdkCall[]): readonly Right[] {
  const linked = (linkedActions[method] ?? []).map((name) => ({ name, isData: false }));
  return [
    ...calls.flatMap(rightsOfCall),
    ...linked,
    ...plainRightsOf(method, calls),
    ...Object.values(connectingFiles).flatMap((methods) => dataRights(methods[method] ?? {})),
  ];
}

function rightsOfCall({ kind, packageName, owner, method, isAwaited }: SdkCall): readonly Right[] {
  if (kind === "plain") return [];
  if (kind === "data") return dataRights(rightsOfMethod(`${owner}.${method}`));
  const { action, type, isLongRunning } = readOperation(packageName, owner, method);
  const [, poll] = operationReads.find(([pattern]) => pattern.test(type)) ?? [];
  return [{ name: action, isData: false, poll: isLongRunning && isAwaited ? poll : undefined }];
}

function dataRights({ actions = [], dataActions = [] }: Rights): readonly Right[] {
  return [
    ...actions.map((name) => ({ name, isData: false })),
    ...dataActions.map((name) => ({ name, isData: true })),
  ];
}

/** What is written down of plain requests must be what the code sends, request by request. */
function plainRightsOf(method: string, calls: readonly SdkCall[]): readonly Right[] {
  const sent = calls.filter(({ kind }) => kind === "plain").map((call) => call.method);
  const known = plainRequests[method] ?? [];
  const said = known.map((entry) => entry.split(" ")[0] ?? "");
  if (sent.toSorted().join() !== said.toSorted().join()) {
    throw new Error(
      `${method} sends the requests [${sent.join()}], scripts/roles/own-requests.ts says [${said.join()}]`,
    );
  }
  return known.map((entry) => ({ name: actionOfPlainRequest(entry).action, isData: false }));
}

function refuseUnreached({ unreached }: PortCalls): void {
  const lost = unreached.filter((call) => call.kind === "plain" || rightsOfCall(call).length > 0);
  if (lost.length === 0) return;
  const places = lost.map(({ owner, method, place }) => `${owner}.${method} in ${place}`);
  throw new Error(`no method of a port leads to ${places.join(", ")}`);
}

/** A call of the holder that none of its roles allows; a role for what the holder does not call. */
function refuseMisfits(
  program: ProductProgram,
  rights: ReadonlyMap<string, readonly Right[]>,
  holder: RolePlan["holder"],
): void {
  const used = findPortUses(program, foldersOf[holder], [...rights.keys()]);
  const plans = rolePlans.filter((plan) => plan.holder === holder);
  const granted = plans.flatMap((plan) => grantedBy(plan, rights));
  const unused = [...new Set(granted.map(({ method }) => method))].filter(
    (each) => !used.has(each),
  );
  if (unused.length > 0) {
    throw new Error(`${holder}: has roles for what it never calls: ${unused.join(", ")}`);
  }
  const missing = [...used].flatMap((method) =>
    (rights.get(method) ?? [])
      .filter(
        ({ name }) =>
          !rightsOfBuiltInRoles.has(name) &&
          !granted.some((right) => right.method === method && right.name === name),
      )
      .map(({ name }) => `${method} (${name})`),
  );
  if (missing.length === 0) return;
  throw new Error(
    `${holder}: calls what none of its roles in scripts/roles/role-plans.ts has: ${missing.join(", ")}`,
  );
}
