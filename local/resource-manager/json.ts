/** JSON as it travels to and from Resource Manager. */
export type JsonValue =
  string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** A body or part of a body. `undefined` never occurs as a value: leave the property out. */
export type JsonObject = { readonly [key: string]: JsonValue };

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object at `key`, or an empty one when it is absent or not an object. */
export function objectAt(value: JsonObject, key: string): JsonObject {
  const found = value[key];
  return isJsonObject(found) ? found : {};
}

/** The array of objects at `key`; elements that are not objects are left out. */
export function objectsAt(value: JsonObject, key: string): readonly JsonObject[] {
  const found = value[key];
  return Array.isArray(found) ? found.filter((item) => isJsonObject(item)) : [];
}

/** The string at `key`, or undefined. */
export function stringAt(value: JsonObject, key: string): string | undefined {
  const found = value[key];
  return typeof found === "string" ? found : undefined;
}

/** The string at `id` of the object at `key`: Azure's form of a reference to another resource. */
export function referenceAt(value: JsonObject, key: string): string | undefined {
  return stringAt(objectAt(value, key), "id");
}

/** `patch` over `base` as JSON merge-patch does it: objects merge, null removes, the rest replaces. */
export function mergePatch(base: JsonObject, patch: JsonObject): JsonObject {
  const result: Record<string, JsonValue> = { ...base };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (isJsonObject(value)) {
      const before = result[key];
      result[key] = mergePatch(isJsonObject(before) ? before : {}, value);
    } else result[key] = value;
  }
  return result;
}

/** `value` without the entries whose value is undefined. */
export function withoutUndefined(
  value: Readonly<Record<string, JsonValue | undefined>>,
): JsonObject {
  const result: Record<string, JsonValue> = {};
  for (const [key, item] of Object.entries(value)) if (item !== undefined) result[key] = item;
  return result;
}
