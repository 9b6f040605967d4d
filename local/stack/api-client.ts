import { z } from "zod";

/** Calls to the product's HTTP API as an operator's scripts make them. */
export interface ApiClientOptions {
  /** `http://127.0.0.1:port/api/v1` */
  readonly baseUrl: string;
  readonly readToken: () => Promise<string>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** An answer that was not expected: HTTP status and the API's own words. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const listSchema = z.object({
  value: z.array(z.unknown()),
  continuationToken: z.string().nullish(),
});
const pageCountMax = 1000;

export class ApiClient {
  readonly #options: ApiClientOptions;

  constructor(options: ApiClientOptions) {
    this.#options = options;
  }

  /** Any answer that arrives, errors included. */
  async send(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const response = await fetch(`${this.#options.baseUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await this.#options.readToken()}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: parseJson(text) };
  }

  /** The answer's body, of the shape that is expected. Throws ApiError for 4xx and 5xx. */
  async call<Shape extends z.ZodType>(
    method: string,
    path: string,
    { body, answer }: { body?: unknown; answer: Shape },
  ): Promise<z.output<Shape>> {
    const { status, body: received } = await this.send(method, path, body);
    if (status >= 400) {
      const said = typeof received === "string" ? received : JSON.stringify(received);
      throw new ApiError(status, `${method} ${path} was answered ${status}: ${said}`);
    }
    return answer.parse(received);
  }

  /** All pages of a list. */
  async list<Shape extends z.ZodType>(path: string, item: Shape): Promise<z.output<Shape>[]> {
    const found: z.output<Shape>[] = [];
    let next: string | undefined;
    for (let page = 0; page < pageCountMax; page++) {
      const separator = path.includes("?") ? "&" : "?";
      const token = next === undefined ? "" : `${separator}continuationToken=${next}`;
      const answer = await this.call("GET", `${path}${token}`, { answer: listSchema });
      found.push(...answer.value.map((value) => item.parse(value)));
      if (typeof answer.continuationToken !== "string") return found;
      next = encodeURIComponent(answer.continuationToken);
    }
    return found;
  }
}

function parseJson(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text; // an error page is shown as it is
  }
}
