import type { z } from "zod";
import { redact } from "#core/model/outcome.ts";

/** Problem: what the API answers when it does not do what it was asked for. */
export interface ProblemDetail {
  /** Field, e.g. `schedule.cron`. */
  readonly path: string;
  readonly reason: string;
}

export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  readonly code: string;
  readonly details: readonly ProblemDetail[];

  constructor(
    status: number,
    code: string,
    message: string,
    details: readonly ProblemDetail[] = [],
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }

  body(): object {
    const { code, details } = this;
    return { error: { code, message: redact(this.message), details } };
  }
}

export function notFound(kind: string, id: string): Problem {
  return new Problem(404, `${kind}NotFound`, `There is no ${kind} '${id}'.`);
}

export function wrongField(path: string, reason: string): Problem {
  return new Problem(400, "InvalidRequest", `Field '${path}' is wrong: ${reason}.`, [
    { path, reason },
  ]);
}

/** Every issue of a schema as path and reason; unknown fields one by one. */
export function wrongFields(error: z.ZodError): Problem {
  const details = error.issues.flatMap((issue): ProblemDetail[] => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ path, reason: issue.message }];
    return issue.keys.map((key) => ({
      path: path === "" ? key : `${path}.${key}`,
      reason: "unknown field",
    }));
  });
  const fields = details.map((detail) => `'${detail.path}'`).join(", ");
  return new Problem(400, "InvalidRequest", `These fields are wrong: ${fields}.`, details);
}
