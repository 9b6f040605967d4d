import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Reads the type data that the Bicep compiler uses and checks JSON bodies against it. The data is
 * reference material that lies beside a checkout, not in it; without it the checks say so.
 */
interface TypeReference {
  readonly $ref: number | string;
}
interface PropertyType {
  readonly type: TypeReference;
  readonly flags: number;
}
interface TypeEntry {
  readonly $type: string;
  readonly value?: string;
  readonly pattern?: string;
  readonly itemType?: TypeReference;
  readonly elements?: readonly TypeReference[] | Readonly<Record<string, TypeReference>>;
  readonly properties?: Readonly<Record<string, PropertyType>>;
  readonly baseProperties?: Readonly<Record<string, PropertyType>>;
  readonly additionalProperties?: TypeReference;
  readonly discriminator?: string;
  readonly body?: TypeReference;
}
interface TypeData {
  readonly resources: Readonly<Record<string, number>>;
  readonly types: readonly TypeEntry[];
}

const REQUIRED = 1;
const READ_ONLY = 2;
const WRITE_ONLY = 4;
const DEPLOY_TIME_CONSTANT = 8;

/** What is sent may not carry read-only properties; what is answered may not carry write-only ones. */
export type Direction = "request" | "response";

export const TYPE_DATA_FILE = join(
  import.meta.dirname,
  "../../../shared/azure-types/az-types.json",
);

export function loadTypeChecker(file: string = TYPE_DATA_FILE): TypeChecker | undefined {
  if (!existsSync(file)) return undefined;
  return new TypeChecker(JSON.parse(readFileSync(file, "utf8")) as TypeData);
}

export class TypeChecker {
  readonly #data: TypeData;
  /** Lower-case type name without version -> index of its type; the newest version wins. */
  readonly #byName = new Map<string, number>();

  constructor(data: TypeData) {
    this.#data = data;
    for (const [key, index] of Object.entries(data.resources).sort()) {
      this.#byName.set((key.split("@")[0] ?? "").toLowerCase(), index);
    }
  }

  knows(resourceType: string): boolean {
    return this.#byName.has(resourceType.toLowerCase());
  }

  /** Every difference between the body and the resource type, as `path: what is wrong`. */
  check(resourceType: string, body: unknown, direction: Direction): string[] {
    const index = this.#byName.get(resourceType.toLowerCase());
    if (index === undefined) return [`${resourceType}: no type data`];
    const findings: string[] = [];
    this.#checkValue(body, { $ref: index }, "", direction, findings);
    return findings;
  }

  #entry(reference: TypeReference): TypeEntry {
    const index =
      typeof reference.$ref === "number"
        ? reference.$ref
        : Number(/(\d+)$/.exec(reference.$ref)?.[1] ?? Number.NaN);
    const entry = this.#data.types[index];
    if (entry === undefined) throw new Error(`type data has no entry ${String(reference.$ref)}`);
    return entry;
  }

  #checkValue(
    value: unknown,
    reference: TypeReference,
    path: string,
    direction: Direction,
    findings: string[],
  ): void {
    if (value === undefined) return;
    const entry = this.#entry(reference);
    switch (entry.$type) {
      case "StringType":
        if (typeof value !== "string") findings.push(`${path}: a string is expected`);
        return;
      case "StringLiteralType":
        if (value !== entry.value) findings.push(`${path}: '${entry.value}' is expected`);
        return;
      case "IntegerType":
        if (!Number.isInteger(value)) findings.push(`${path}: an integer is expected`);
        return;
      case "BooleanType":
        if (typeof value !== "boolean") findings.push(`${path}: a boolean is expected`);
        return;
      case "ArrayType":
        this.#checkArray(value, entry, path, direction, findings);
        return;
      case "UnionType":
        this.#checkUnion(value, entry, path, direction, findings);
        return;
      case "ResourceType":
        if (entry.body !== undefined) {
          this.#checkValue(value, entry.body, path, direction, findings);
        }
        return;
      case "ObjectType":
        this.#checkObject(value, entry.properties ?? {}, entry, path, direction, findings);
        return;
      case "DiscriminatedObjectType":
        this.#checkDiscriminated(value, entry, path, direction, findings);
        return;
      default:
        return;
    }
  }

  #checkArray(
    value: unknown,
    entry: TypeEntry,
    path: string,
    direction: Direction,
    findings: string[],
  ): void {
    if (!Array.isArray(value)) {
      findings.push(`${path}: an array is expected`);
      return;
    }
    const itemType = entry.itemType;
    if (itemType === undefined) return;
    for (const [index, item] of value.entries()) {
      this.#checkValue(item, itemType, `${path}[${index}]`, direction, findings);
    }
  }

  #checkUnion(
    value: unknown,
    entry: TypeEntry,
    path: string,
    direction: Direction,
    findings: string[],
  ): void {
    const elements = Array.isArray(entry.elements) ? (entry.elements as TypeReference[]) : [];
    const fits = elements.some((element) => {
      const own: string[] = [];
      this.#checkValue(value, element, path, direction, own);
      return own.length === 0;
    });
    if (fits) return;
    const literals = elements.map((element) => this.#entry(element).value).filter(Boolean);
    findings.push(`${path}: ${JSON.stringify(value)} is none of ${literals.join("|")}`);
  }

  #checkDiscriminated(
    value: unknown,
    entry: TypeEntry,
    path: string,
    direction: Direction,
    findings: string[],
  ): void {
    const chosen = isObject(value) ? value[entry.discriminator ?? ""] : undefined;
    const elements = (entry.elements ?? {}) as Readonly<Record<string, TypeReference>>;
    const reference = typeof chosen === "string" ? elements[chosen] : undefined;
    if (reference === undefined) {
      findings.push(`${path}.${entry.discriminator}: ${JSON.stringify(chosen)} is not known`);
      return;
    }
    const element = this.#entry(reference);
    const properties = { ...entry.baseProperties, ...element.properties };
    this.#checkObject(value, properties, element, path, direction, findings);
  }

  #checkObject(
    value: unknown,
    properties: Readonly<Record<string, PropertyType>>,
    entry: TypeEntry,
    path: string,
    direction: Direction,
    findings: string[],
  ): void {
    if (!isObject(value)) {
      findings.push(`${path}: an object is expected`);
      return;
    }
    for (const [name, property] of Object.entries(properties)) {
      // The name, type and version of a resource travel in its URL, not in its body.
      const inUrl = path === "" && (property.flags & DEPLOY_TIME_CONSTANT) !== 0;
      if (direction === "request" && (property.flags & REQUIRED) !== 0 && !inUrl) {
        if (value[name] === undefined) findings.push(`${path}.${name}: required, but missing`);
      }
    }
    for (const [name, item] of Object.entries(value)) {
      const at = `${path}.${name}`;
      const property = properties[name];
      if (property === undefined) {
        if (entry.additionalProperties !== undefined) {
          this.#checkValue(item, entry.additionalProperties, at, direction, findings);
        } else if (!(path === "" && name === "etag") && name !== "description") {
          // The data has lost its descriptions, and with them all properties of that name.
          findings.push(`${at}: unknown property`);
        }
        continue;
      }
      if (
        direction === "request" &&
        (property.flags & (READ_ONLY | DEPLOY_TIME_CONSTANT)) === READ_ONLY
      ) {
        findings.push(`${at}: read-only, but sent`);
      }
      if (direction === "response" && (property.flags & WRITE_ONLY) !== 0) {
        findings.push(`${at}: write-only, but answered`);
      }
      this.#checkValue(item, property.type, at, direction, findings);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
