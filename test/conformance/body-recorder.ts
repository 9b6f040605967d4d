import type { RequestObserver } from "#local/resource-manager/arm-message.ts";
import { TYPE_DATA_FILE, loadTypeChecker, type Direction, type TypeChecker } from "./type-data.ts";

/**
 * Checks what goes through a Resource Manager while a test does something else: bodies of PUT and
 * PATCH as they were sent, resources as they were answered, each against the data of its type.
 */
export class BodyRecorder {
  readonly #checker: TypeChecker;
  readonly #findings = new Set<string>();
  readonly #withoutData = new Set<string>();
  readonly #requests: { readonly principalId: string | undefined; readonly type: string }[] = [];
  readonly #answers: string[] = [];

  constructor(checker: TypeChecker) {
    this.#checker = checker;
  }

  readonly observe: RequestObserver = (record) => {
    const { method, path, principalId, requestBody, responseBody, status } = record;
    if ((method === "PUT" || method === "PATCH") && requestBody !== undefined) {
      const type = typeOfPath(path);
      this.#requests.push({ principalId, type });
      // A patch names only what it changes.
      const isPatch = method === "PATCH";
      this.#check({ type, body: requestBody, direction: "request", place: method, isPatch });
    }
    if (status >= 300 || (method !== "GET" && method !== "PUT" && method !== "PATCH")) return;
    for (const resource of resourcesOf(responseBody)) {
      this.#answers.push(resource.type);
      const place = `answer to ${method}`;
      this.#check({ type: resource.type, body: resource, direction: "response", place });
    }
  };

  /** Differences, each once: `PUT Microsoft.Compute/disks .properties.x: what is wrong`. */
  get findings(): string[] {
    return [...this.#findings].sort();
  }

  /** Types that went by and could not be checked. */
  get typesWithoutData(): string[] {
    return [...this.#withoutData].sort();
  }

  /** Types of the bodies that a principal sent. */
  sentBy(principalId: string): string[] {
    const own = this.#requests.filter((request) => request.principalId === principalId);
    return [...new Set(own.map(({ type }) => type))].sort();
  }

  get answeredTypes(): string[] {
    return [...new Set(this.#answers)].sort();
  }

  get counts(): { readonly requestCount: number; readonly answerCount: number } {
    return { requestCount: this.#requests.length, answerCount: this.#answers.length };
  }

  #check(what: {
    readonly type: string;
    readonly body: unknown;
    readonly direction: Direction;
    readonly place: string;
    readonly isPatch?: boolean;
  }): void {
    if (!this.#checker.knows(what.type)) {
      this.#withoutData.add(what.type);
      return;
    }
    for (const finding of this.#checker.check(what.type, what.body, what.direction)) {
      if (what.isPatch === true && finding.endsWith("required, but missing")) continue;
      this.#findings.add(`${what.place} ${what.type} ${finding}`);
    }
  }
}

/** A recorder, or undefined (and a line in the output) where the type data is not there. */
export function createBodyRecorder(): BodyRecorder | undefined {
  const checker = loadTypeChecker();
  if (checker !== undefined) return new BodyRecorder(checker);
  sayTypeDataIsMissing();
  return undefined;
}

/** Unlike an annotation, a line on standard output is shown for tests that pass, too. */
export function sayTypeDataIsMissing(): void {
  console.log(`No resource type data at ${TYPE_DATA_FILE}: no body was checked against it.`);
}

/** `/…/providers/A.B/c/name/d/name` is an `A.B/c/d`. */
function typeOfPath(path: string): string {
  const groupOnly = /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+$/i;
  if (groupOnly.test(path)) return "Microsoft.Resources/resourceGroups";
  const [namespace = "", ...rest] = path.slice(path.lastIndexOf("/providers/") + 11).split("/");
  return [namespace, ...rest.filter((_, index) => index % 2 === 0)].join("/");
}

interface AnsweredResource {
  readonly id: string;
  readonly type: string;
}

/** The resource of an answer, or those of a list; an answer of another kind has none. */
function resourcesOf(body: unknown): AnsweredResource[] {
  if (isResource(body)) return [body];
  if (typeof body !== "object" || body === null || !("value" in body)) return [];
  return Array.isArray(body.value) ? body.value.filter(isResource) : [];
}

function isResource(body: unknown): body is AnsweredResource {
  if (typeof body !== "object" || body === null) return false;
  return "id" in body && "type" in body && typeof body.type === "string";
}
