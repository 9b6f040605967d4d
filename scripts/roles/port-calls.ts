/**
 * What each method of a port makes its implementation in `azure/` ask of Azure: every call of an SDK
 * that the method's code reaches, through whatever functions of `azure/` lie in between.
 */
import {
  isBindingElement,
  isCallExpression,
  isClassDeclaration,
  isIdentifier,
  isInterfaceDeclaration,
  isMethodDeclaration,
  isMethodSignatureDeclaration,
  isObjectLiteralExpression,
  isPrivateIdentifier,
  isPropertyAccessExpression,
  isPropertySignatureDeclaration,
  type Identifier,
  type Node,
} from "typescript/unstable/ast";
import { SymbolFlags } from "typescript/unstable/sync";
import { connectingFiles } from "./own-requests.ts";
import { dataPackages } from "./data-operations.ts";
import { isUnit, nameOfUnit, nodesBelow, unitAround, type ProductProgram } from "./program.ts";
import { managementPackages } from "./resource-operations.ts";

export interface SdkCall {
  readonly kind: "management" | "data" | "plain";
  readonly packageName: string;
  /** Group of operations (`snapshots`) or class (`BlobClient`). */
  readonly owner: string;
  readonly method: string;
  /** Whether the code waits for the end of a long-running operation. */
  readonly isAwaited: boolean;
  /** For messages. */
  readonly place: string;
}

export interface PortCalls {
  /** By `ComputePort.startSnapshot`. */
  readonly methods: ReadonlyMap<string, readonly SdkCall[]>;
  /** Calls that no method of a port leads to: nobody could say which role they belong to. */
  readonly unreached: readonly SdkCall[];
}

interface Graph {
  readonly edges: Map<Node, Set<Node>>;
  readonly calls: Map<Node, SdkCall[]>;
  readonly loose: SdkCall[];
  /** Functions behind a member of an interface, by the member's declaration. */
  readonly implementations: Map<Node, Set<Node>>;
}

export function findPortCalls(program: ProductProgram): PortCalls {
  const graph: Graph = {
    edges: new Map(),
    calls: new Map(),
    loose: [],
    implementations: new Map(),
  };
  const files = program.sourcesOf("azure");
  for (const file of files) {
    refuseHiddenConnections(program, file);
    for (const node of nodesBelow(file)) {
      if (isUnit(node)) addImplementation(program, graph, node);
    }
  }
  for (const file of files) addReferences(program, graph, file);

  const methods = new Map<string, SdkCall[]>();
  const reached = new Set<SdkCall>();
  for (const [member, functions] of graph.implementations) {
    const name = portMethodName(program, member);
    if (name === undefined) continue;
    const calls = [...functions].flatMap((each) => callsFrom(graph, each));
    for (const call of calls) reached.add(call);
    methods.set(name, [...new Set([...(methods.get(name) ?? []), ...calls])]);
  }
  const all = [...graph.loose, ...[...graph.calls.values()].flat()];
  return { methods, unreached: all.filter((call) => !reached.has(call)) };
}

/**
 * Methods of ports that the code of these folders names.
 *
 * @param methods those to look for: `ComputePort.readVm`
 */
export function findPortUses(
  program: ProductProgram,
  folders: readonly string[],
  methods: readonly string[],
): ReadonlySet<string> {
  const used = new Set<string>();
  const wanted = new Set(methods.map((method) => method.slice(method.indexOf(".") + 1)));
  for (const file of folders.flatMap((folder) => program.sourcesOf(folder))) {
    for (const { declarations } of resolveNames(program, file, (text) => wanted.has(text))) {
      for (const declaration of declarations) {
        const name = portMethodName(program, declaration);
        if (name !== undefined) used.add(name);
      }
    }
  }
  return used;
}

function callsFrom(graph: Graph, start: Node): SdkCall[] {
  const seen = new Set([start]);
  // Grows while it is walked.
  for (const unit of seen) for (const next of graph.edges.get(unit) ?? []) seen.add(next);
  return [...seen].flatMap((unit) => graph.calls.get(unit) ?? []);
}

function addReferences(program: ProductProgram, graph: Graph, file: Node): void {
  for (const { name, declarations } of resolveNames(program, file)) {
    const unit = unitAround(name);
    for (const declaration of declarations) {
      const call = sdkCallOf(program, name, declaration, unit);
      if (call !== undefined) {
        if (unit === undefined) graph.loose.push(call);
        else graph.calls.set(unit, [...(graph.calls.get(unit) ?? []), call]);
      }
      if (unit === undefined) continue;
      const targets = isUnit(declaration) ? [declaration] : [];
      const edges = graph.edges.get(unit) ?? new Set<Node>();
      for (const target of [...targets, ...(graph.implementations.get(declaration) ?? [])]) {
        edges.add(target);
      }
      graph.edges.set(unit, edges);
    }
  }
}

/** Which members of interfaces a function stands behind. */
function addImplementation(program: ProductProgram, graph: Graph, unit: Node): void {
  const { checker } = program;
  const holder = unit.parent;
  const name = nameOfUnit(unit);
  const types = isObjectLiteralExpression(holder)
    ? [checker.getContextualType(holder)]
    : isClassDeclaration(holder)
      ? (holder.heritageClauses ?? []).flatMap(({ types: clause }) =>
          clause.map((each) => checker.getTypeAtLocation(each)),
        )
      : [];
  for (const found of types) {
    const type = found === undefined ? undefined : checker.getNonNullableType(found);
    const member = type === undefined ? undefined : checker.getPropertyOfType(type, name);
    for (const declaration of program.declarationsOf(member)) {
      const known = graph.implementations.get(declaration) ?? new Set<Node>();
      graph.implementations.set(declaration, known.add(unit));
    }
  }
}

interface ResolvedName {
  readonly name: Node;
  readonly declarations: readonly Node[];
}

/** Every name in a file with what it stands for. */
function resolveNames(
  program: ProductProgram,
  file: Node,
  isWanted: (text: string) => boolean = () => true,
): ResolvedName[] {
  const { checker } = program;
  const names = [...nodesBelow(file)].filter(
    (node) => (isIdentifier(node) || isPrivateIdentifier(node)) && isWanted(node.text),
  );
  const symbols = checker.getSymbolAtLocation(names);
  return names.flatMap((name, index) => {
    const symbol = symbols[index];
    const isAlias = symbol !== undefined && (symbol.flags & SymbolFlags.Alias) !== 0;
    const declarations = program.declarationsOf(
      isAlias ? checker.getAliasedSymbol(symbol) : symbol,
    );
    // `const { get } = compute.snapshots` takes a member as well.
    const taken =
      isIdentifier(name) && isBindingElement(name.parent) ? memberTaken(program, name) : [];
    const all = [...declarations, ...taken].filter((node) => node !== name.parent);
    return all.length === 0 ? [] : [{ name, declarations: all }];
  });
}

function memberTaken(program: ProductProgram, name: Identifier): readonly Node[] {
  const { checker } = program;
  const element = name.parent;
  const pattern = element.parent;
  const type = checker.getTypeAtLocation(pattern);
  if (type === undefined) return [];
  const isRenamed = isBindingElement(element) && element.propertyName !== undefined;
  if (isRenamed && element.propertyName !== name) return [];
  return program.declarationsOf(checker.getPropertyOfType(type, name.text));
}

function sdkCallOf(
  program: ProductProgram,
  name: Node,
  declaration: Node,
  unit: Node | undefined,
): SdkCall | undefined {
  const isMember =
    (isPropertyAccessExpression(name.parent) && name.parent.name === name) ||
    isBindingElement(name.parent);
  if (!isMember || !isIdentifier(name)) return undefined;
  const source = declaration.getSourceFile();
  const path = program.pathOf(source);
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  const place = `${program.pathOf(name.getSourceFile())} (${nameOfUnit(unit)})`;
  const common = { method: name.text, isAwaited: !isSubmitted(name), place };
  if (path === "azure/resource-requests.ts" && ownerName(declaration) === "ResourceRequests") {
    return { ...common, kind: "plain", packageName: "", owner: "ResourceRequests" };
  }
  if (inPackage === undefined) return undefined;
  if (managementPackages.includes(inPackage)) {
    const group = /\/classic\/([^/]+)\//.exec(path)?.[1];
    const isCalled =
      isCallExpression(name.parent.parent) && isPropertyAccessExpression(name.parent);
    if (group === undefined && path.endsWith("ManagementClient.d.ts") && isCalled) {
      throw new Error(`${place} calls ${name.text} of a client: no role can be made of that`);
    }
    if (group === undefined) return undefined;
    return { ...common, kind: "management", packageName: inPackage, owner: group };
  }
  const owner = ownerName(declaration);
  if (!dataPackages.includes(inPackage) || owner === undefined) return undefined;
  if (!isMethodDeclaration(declaration) && !isMethodSignatureDeclaration(declaration))
    return undefined;
  return { ...common, kind: "data", packageName: inPackage, owner };
}

/** Only the first request is sent: `submit(() => group.createOrUpdate(...))`. */
function isSubmitted(name: Node): boolean {
  for (let at: Node | undefined = name.parent; at !== undefined; at = at.parent) {
    if (!isCallExpression(at) || !isIdentifier(at.expression)) continue;
    if (at.expression.text === "submit") return true;
  }
  return false;
}

/** `ComputePort.startSnapshot` for a member of an interface of `core/ports`. */
function portMethodName(program: ProductProgram, member: Node): string | undefined {
  if (!isMethodSignatureDeclaration(member) && !isPropertySignatureDeclaration(member))
    return undefined;
  if (!program.pathOf(member.getSourceFile()).startsWith("core/ports/")) return undefined;
  const owner = ownerName(member);
  return owner !== undefined && isIdentifier(member.name)
    ? `${owner}.${member.name.text}`
    : undefined;
}

function ownerName({ parent }: Node): string | undefined {
  const isNamed = isInterfaceDeclaration(parent) || isClassDeclaration(parent);
  return isNamed ? parent.name?.text : undefined;
}

/** A file that opens connections without an SDK must be known. */
function refuseHiddenConnections(program: ProductProgram, file: Node): void {
  const path = program.pathOf(file.getSourceFile());
  const connects =
    /\bfrom "(?:undici|node:(?:https?|http2|net|tls|dgram))"|\b(?:fetch|WebSocket)\(|\b(?:sendRequest|pathUnchecked|createHttpClient)\(/;
  // A policy inside an SDK's own pipeline sends what the SDK sends.
  const text = file.getText().replaceAll("async sendRequest(", "");
  if (!connects.test(text) || connectingFiles[path] !== undefined) return;
  throw new Error(`${path} opens connections: say in scripts/roles/own-requests.ts what they need`);
}
