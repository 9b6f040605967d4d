/** The public face: http triggers by route and key, the durable webhook, a little of /admin. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { HoldfastError } from "#core/lib/errors.ts";
import { z } from "zod";
import type { ManagementApi } from "./durable/management-api.ts";
import { managementPath, rpcPath } from "./durable/management-urls.ts";
import { type HostKeys, isSameKey } from "./host-keys.ts";
import type { HttpHandler } from "./http-listener.ts";
import type { FunctionRunner } from "./triggers/function-runner.ts";
import { sendJson, sendRpcResponse, toRpcRequest } from "./triggers/http-messages.ts";
import { compileRoute, type Route } from "./triggers/http-routes.ts";
import { FunctionException, type RegisteredFunction } from "./worker/rpc-types.ts";

export interface HttpFrontOptions {
  readonly functions: readonly RegisteredFunction[];
  readonly routePrefix: string;
  readonly keys: HostKeys;
  readonly runner: FunctionRunner;
  readonly management: ManagementApi;
}

const httpBindingSchema = z.looseObject({
  route: z.string().optional(),
  methods: z.array(z.string()).optional(),
  authLevel: z.string().optional(),
});

interface Endpoint {
  readonly target: RegisteredFunction;
  readonly route: Route;
  readonly methods: readonly string[];
  readonly authLevel: "anonymous" | "function" | "admin";
}

interface Call {
  readonly url: URL;
  readonly body: Buffer;
}

export class HttpFront {
  readonly #options: HttpFrontOptions;
  readonly #endpoints: readonly Endpoint[];

  /** @throws HoldfastError `InvalidRoute` */
  constructor(options: HttpFrontOptions) {
    this.#options = options;
    this.#endpoints = options.functions
      .filter(({ trigger }) => trigger.type.toLowerCase() === "httptrigger")
      .map((target) => toEndpoint(target, options.routePrefix))
      .sort((one, other) => (one.route.rank < other.route.rank ? -1 : 1));
  }

  /** For the public listener. */
  readonly handlePublic: HttpHandler = async (request, response, call) => {
    const { pathname } = call.url;
    if (isBelow(pathname, managementPath)) {
      if (!this.#hasKey(request, call.url, ["durable", "master"])) response.writeHead(401).end();
      else await this.#manage(request, response, call, managementPath);
    } else if (isBelow(pathname, "/admin")) await this.#administer(request, response, call);
    else if (pathname === "/") response.writeHead(200).end("Your Functions 4.0 app is up.\n");
    else await this.#trigger(request, response, call);
  };

  /** For the app's own listener: the management API without keys. */
  readonly handleRpc: HttpHandler = async (request, response, call) => {
    if (isBelow(call.url.pathname, rpcPath)) await this.#manage(request, response, call, rpcPath);
    else response.writeHead(404).end();
  };

  async #manage(
    request: IncomingMessage,
    response: ServerResponse,
    { url, body }: Call,
    mount: string,
  ): Promise<void> {
    const segments = url.pathname
      .slice(mount.length)
      .split("/")
      .filter((part) => part !== "");
    const call = {
      request,
      url,
      base: `${url.origin}${mount}`,
      segments: segments.map(decodeURIComponent),
      body: body.toString("utf8"),
    };
    await this.#options.management.handle(call, response);
  }

  /** A method that no function of the route takes is 404 in Azure, not 405. */
  async #trigger(request: IncomingMessage, response: ServerResponse, call: Call): Promise<void> {
    const method = (request.method ?? "GET").toUpperCase();
    for (const endpoint of this.#endpoints) {
      if (!endpoint.methods.includes(method)) continue;
      const params = endpoint.route.match(call.url.pathname);
      if (params === undefined) continue;
      if (!this.#isAuthorized(request, call.url, endpoint)) {
        response.writeHead(401).end();
        return;
      }
      try {
        const http = toRpcRequest(request, call.url, params, call.body);
        const { returnValue } = await this.#options.runner.run(endpoint.target, { http });
        sendRpcResponse(response, returnValue);
      } catch (error) {
        if (!(error instanceof FunctionException)) throw error;
        response.writeHead(500).end(); // logged by the worker; its text is nobody else's business
      }
      return;
    }
    response.writeHead(404).end();
  }

  async #administer(request: IncomingMessage, response: ServerResponse, call: Call): Promise<void> {
    if (!this.#hasKey(request, call.url, ["master"])) {
      response.writeHead(401).end();
      return;
    }
    const [, , area, name] = call.url.pathname.split("/");
    if (request.method === "GET" && area === "host" && name === "status") {
      sendJson(response, 200, { state: "Running", functions: this.#options.functions.length });
      return;
    }
    const target = this.#options.functions.find((each) => each.name === name);
    const isRunnable = target !== undefined && target.trigger.type.toLowerCase() === "timertrigger";
    if (request.method !== "POST" || area !== "functions" || !isRunnable) {
      response.writeHead(404).end();
      return;
    }
    // The real host answers before the function has run, too.
    response.writeHead(202).end();
    const info = { Schedule: { AdjustForDST: true }, ScheduleStatus: null, IsPastDue: false };
    try {
      await this.#options.runner.run(target, { json: JSON.stringify(info) });
    } catch (error) {
      if (!(error instanceof FunctionException)) throw error;
    }
  }

  #isAuthorized(request: IncomingMessage, url: URL, { authLevel }: Endpoint): boolean {
    if (authLevel === "anonymous") return true;
    const accepted =
      authLevel === "function" ? (["function", "master"] as const) : (["master"] as const);
    return this.#hasKey(request, url, accepted);
  }

  #hasKey(request: IncomingMessage, url: URL, accepted: readonly (keyof HostKeys)[]): boolean {
    const header = request.headers["x-functions-key"];
    const given = typeof header === "string" ? header : (url.searchParams.get("code") ?? undefined);
    return accepted.some((name) => isSameKey(given, this.#options.keys[name]));
  }
}

function toEndpoint(target: RegisteredFunction, routePrefix: string): Endpoint {
  const {
    route = target.name,
    methods,
    authLevel = "function",
  } = httpBindingSchema.parse(target.trigger);
  const level = authLevel.toLowerCase();
  if (level !== "anonymous" && level !== "function" && level !== "admin") {
    throw new HoldfastError("InvalidAuthLevel", `Function ${target.name}: authLevel ${authLevel}.`);
  }
  return {
    target,
    route: compileRoute(`${routePrefix}/${route}`),
    methods: (methods ?? ["GET", "POST"]).map((method) => method.toUpperCase()),
    authLevel: level,
  };
}

function isBelow(pathname: string, mount: string): boolean {
  return pathname === mount || pathname.startsWith(`${mount}/`);
}
