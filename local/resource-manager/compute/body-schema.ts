import { z } from "zod";
import { ArmError } from "../arm-error.ts";
import type { JsonObject } from "../json.ts";
import { parseResourceId, sameId } from "../resource-id.ts";

/** A property that is taken as it comes: Azure accepts it and nothing here depends on it. */
export const anything = z.unknown().optional();

/** `{ id }`: a reference to another resource. */
export const referenceSchema = z.strictObject({ id: z.string() });

/**
 * A body in the form that its type has, or Compute's refusal: an unknown property is 400 `BadRequest`
 * ("Could not find member"), a wrong value 400 `InvalidParameter` with the path as target.
 */
export function parseBody<Output>(
  schema: z.ZodType<Output>,
  value: JsonObject,
  typeName: string,
): Output {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = (issue?.path ?? []).join(".");
  if (issue?.code === "unrecognized_keys") {
    const member = issue.keys[0] ?? "";
    const where = path === "" ? typeName : `${typeName}.${path}`;
    throw new ArmError(
      400,
      "BadRequest",
      `Could not find member '${member}' on object of type '${where}'. Path '${[path, member].filter(Boolean).join(".")}'.`,
    );
  }
  const isMissing = issue?.code === "invalid_type" && issue.input === undefined;
  const message = isMissing
    ? `Required parameter '${path}' is missing (null).`
    : `The value of parameter ${path} is invalid.`;
  throw new ArmError(400, "InvalidParameter", message, { target: path });
}

/** 409: what cannot be changed after creation. */
export function propertyChangeNotAllowed(property: string): ArmError {
  return new ArmError(
    409,
    "PropertyChangeNotAllowed",
    `Changing property '${property}' is not allowed.`,
    { target: property },
  );
}

/** 400 unless both ids lie in one subscription. */
export function requireSameSubscription(id: string, otherId: string, target: string): void {
  const subscription = parseResourceId(id)?.subscriptionId ?? "";
  const other = parseResourceId(otherId)?.subscriptionId;
  if (other !== undefined && sameId(subscription, other)) return;
  throw new ArmError(
    400,
    "InvalidParameter",
    `The resource ${otherId} must be in subscription ${subscription}.`,
    { target },
  );
}
