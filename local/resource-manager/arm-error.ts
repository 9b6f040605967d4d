import type { JsonObject, JsonValue } from "./json.ts";

export interface ArmErrorOptions {
  readonly target?: string;
  readonly details?: readonly {
    readonly code: string;
    readonly message: string;
    readonly target?: string;
  }[];
  /** Extra response headers, e.g. `retry-after`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * A refusal in Azure's own words: it becomes the answer `{ error: { code, message } }` with
 * `status`, or, when a running operation throws it, the error of that operation.
 * Form of the body: https://github.com/microsoft/api-guidelines (error condition responses).
 */
export class ArmError extends Error {
  override readonly name = "ArmError";
  readonly status: number;
  readonly code: string;
  readonly options: ArmErrorOptions;

  constructor(status: number, code: string, message: string, options: ArmErrorOptions = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.options = options;
  }

  /** The value of the property `error` in an answer. */
  toJson(): JsonObject {
    const details: JsonValue | undefined = this.options.details?.map((detail) => ({ ...detail }));
    return {
      code: this.code,
      message: this.message,
      ...(this.options.target === undefined ? {} : { target: this.options.target }),
      ...(details === undefined ? {} : { details }),
    };
  }
}

/** 400 for one bad property; `target` is its path, e.g. `subnet.addressPrefix`. */
export function invalidParameter(target: string, message: string): ArmError {
  return new ArmError(400, "InvalidParameter", message, { target });
}

/** 404 of a resource, in Resource Manager's text. */
export function resourceNotFound(typeAndName: string, group: string): ArmError {
  return new ArmError(
    404,
    "ResourceNotFound",
    `The Resource '${typeAndName}' under resource group '${group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix`,
  );
}
