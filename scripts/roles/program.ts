/**
 * The product's sources as the compiler sees them. A *unit* is a function with a name: a function
 * declaration, a method, or a function kept in a variable or a property. What stands in a nameless
 * function inside a unit counts as the unit's.
 */
import { resolve } from "node:path";
import {
  isArrowFunction,
  isFunctionDeclaration,
  isFunctionExpression,
  isIdentifier,
  isMethodDeclaration,
  isPropertyAssignment,
  isVariableDeclaration,
  type Node,
  type SourceFile,
} from "typescript/unstable/ast";
import { API, type Checker, type Symbol as CompilerSymbol } from "typescript/unstable/sync";

export const projectRoot = resolve(import.meta.dirname, "../..");

/** Where declarations matter; looking at all others takes most of the time. */
const ownOrAzure = ["/azure/", "/core/ports/", "/node_modules/@azure/"];

export interface ProductProgram extends Disposable {
  readonly checker: Checker;
  /** Source files of one folder of the product, by the path below the project's root. */
  sourcesOf(folder: string): readonly SourceFile[];
  /** Path below the project's root. */
  pathOf(file: SourceFile | string): string;
  /** The nodes where a symbol of the adapters, their ports or Azure's SDKs is declared. */
  declarationsOf(symbol: CompilerSymbol | undefined): readonly Node[];
}

/** @param root of the project, or of a copy of its sources */
export function openProgram(root: string = projectRoot): ProductProgram {
  const api = new API({ cwd: root });
  const config = resolve(root, "scripts/roles/tsconfig.json");
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
  if (project === undefined) throw new Error(`${config} cannot be opened`);
  const { program, checker } = project;
  const pathOf = (file: SourceFile | string): string => {
    const name = typeof file === "string" ? file : file.fileName;
    return name.startsWith(`${root}/`) ? name.slice(root.length + 1) : name;
  };
  return {
    checker,
    pathOf,
    sourcesOf: (folder) =>
      project.rootFiles
        .filter((name) => pathOf(name).startsWith(`${folder}/`))
        .flatMap((name) => program.getSourceFile(name) ?? []),
    declarationsOf: (symbol) =>
      (symbol?.declarations ?? [])
        .filter(({ path }) => ownOrAzure.some((part) => path.includes(part)))
        .flatMap((handle) => handle.resolve(project) ?? []),
    [Symbol.dispose]: () => api.close(),
  };
}

/** Every node below, the given one included. */
export function* nodesBelow(node: Node): Generator<Node, void, undefined> {
  yield node;
  const children: Node[] = [];
  node.forEachChild((child) => {
    children.push(child);
  });
  for (const child of children) yield* nodesBelow(child);
}

export function isUnit(node: Node): boolean {
  if (isFunctionDeclaration(node) || isMethodDeclaration(node)) return true;
  if (!isVariableDeclaration(node) && !isPropertyAssignment(node)) return false;
  const { initializer } = node;
  if (initializer === undefined) return false;
  return isArrowFunction(initializer) || isFunctionExpression(initializer);
}

/** The innermost unit around a node; undefined at the top of a file. */
export function unitAround(node: Node): Node | undefined {
  for (let at: Node | undefined = node.parent; at !== undefined; at = at.parent) {
    if (isUnit(at)) return at;
  }
  return undefined;
}

/** For messages: the unit's own name. */
export function nameOfUnit(unit: Node | undefined): string {
  if (unit === undefined) return "the top of the file";
  const hasName =
    isFunctionDeclaration(unit) ||
    isMethodDeclaration(unit) ||
    isVariableDeclaration(unit) ||
    isPropertyAssignment(unit);
  const name = hasName ? unit.name : undefined;
  return name !== undefined && isIdentifier(name) ? name.text : "a function";
}
