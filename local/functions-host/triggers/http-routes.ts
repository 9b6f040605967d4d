/** Route templates of http triggers: `orders/{id:int}/{*rest}`. Pure. */
import { HoldfastError } from "#core/lib/errors.ts";

export interface Route {
  /** Values of the template's parameters, decoded; undefined when the path does not fit. */
  match(path: string): Readonly<Record<string, string>> | undefined;
  /** Routes are tried from the most specific one on; compare as text. */
  readonly rank: string;
}

/** Inline constraints of ASP.NET routing that are emulated. */
const constraints: ReadonlyMap<string, RegExp> = new Map([
  ["int", /^-?\d+$/],
  ["long", /^-?\d+$/],
  ["guid", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i],
  ["alpha", /^[a-z]*$/i],
  ["bool", /^(true|false)$/i],
]);

type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | {
      readonly kind: "parameter";
      readonly name: string;
      readonly pattern: RegExp | undefined;
      readonly isOptional: boolean;
    }
  | { readonly kind: "rest"; readonly name: string };

/** @throws HoldfastError `InvalidRoute` for a template this host cannot honour */
export function compileRoute(template: string): Route {
  const segments = template
    .split("/")
    .filter((part) => part !== "")
    .map(parseSegment);
  return {
    rank: segments.map(rankOf).join("") + "9",
    match: (path) =>
      matchSegments(
        segments,
        path.split("/").filter((part) => part !== ""),
      ),
  };
}

function parseSegment(text: string): Segment {
  if (!/[{}]/.test(text)) return { kind: "literal", text: text.toLowerCase() };
  const match = /^\{(\*{0,2})([a-z_]\w*)(?::([a-z]+))?(\?)?\}$/i.exec(text);
  const [, stars = "", name = "", constraint, optional] = match ?? [];
  const pattern = constraint === undefined ? undefined : constraints.get(constraint.toLowerCase());
  if (match === null || (constraint !== undefined && pattern === undefined)) {
    throw new HoldfastError("InvalidRoute", `The route segment "${text}" is not emulated.`);
  }
  if (stars !== "") return { kind: "rest", name };
  return { kind: "parameter", name, pattern, isOptional: optional !== undefined };
}

function rankOf(segment: Segment): string {
  if (segment.kind === "literal") return "1";
  if (segment.kind === "rest") return "4";
  return segment.pattern === undefined ? "3" : "2";
}

function matchSegments(
  segments: readonly Segment[],
  parts: readonly string[],
): Record<string, string> | undefined {
  const values: Record<string, string> = {};
  for (const [index, segment] of segments.entries()) {
    const part = parts[index];
    if (segment.kind === "rest") {
      const rest = parts.slice(index).map(decode).join("/");
      if (rest !== "") values[segment.name] = rest;
      return values;
    }
    if (part === undefined) {
      if (segment.kind === "parameter" && segment.isOptional) continue;
      return undefined;
    }
    const text = decode(part);
    if (segment.kind === "literal") {
      if (text.toLowerCase() !== segment.text) return undefined;
      continue;
    }
    if (segment.pattern?.test(text) === false) return undefined;
    values[segment.name] = text;
  }
  return parts.length > segments.length ? undefined : values;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // not an encoding: taken as it is
  }
}
