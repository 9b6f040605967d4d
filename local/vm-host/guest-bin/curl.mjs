// What the install script of a guest needs of curl, for machines without it: GET with -f -s -S -L -o
// --retry --retry-delay --max-time --cacert -H. Any other option is refused with curl's own exit code.
import { createWriteStream } from "node:fs";
import { readFileSync } from "node:fs";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";

const exitCodes = { usage: 2, malformedUrl: 3, connect: 7, http: 22, timeout: 28 };
const maxRedirects = 10;
const transientStatus = new Set([408, 429, 500, 502, 503, 504]);

class CurlError extends Error {
  constructor(exitCode, message, isTransient = false) {
    super(message);
    this.exitCode = exitCode;
    this.isTransient = isTransient;
  }
}

function parse(args) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        fail: { type: "boolean", short: "f" },
        silent: { type: "boolean", short: "s" },
        "show-error": { type: "boolean", short: "S" },
        location: { type: "boolean", short: "L" },
        output: { type: "string", short: "o" },
        header: { type: "string", short: "H", multiple: true },
        retry: { type: "string" },
        "retry-delay": { type: "string" },
        "retry-all-errors": { type: "boolean" },
        "retry-connrefused": { type: "boolean" },
        "max-time": { type: "string", short: "m" },
        "connect-timeout": { type: "string" },
        cacert: { type: "string" },
        proto: { type: "string" },
        "tlsv1.2": { type: "boolean" },
      },
    });
  } catch (error) {
    throw new CurlError(exitCodes.usage, `option not supported: ${error.message}`);
  }
}

function open(url, options, signal) {
  return new Promise((resolve, reject) => {
    const headers = Object.fromEntries(
      (options.header ?? []).map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
      }),
    );
    const bundle = options.cacert ?? process.env.CURL_CA_BUNDLE;
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    const tls = url.protocol === "https:" && bundle ? { ca: readFileSync(bundle) } : {};
    const request = send(url, { headers, signal, agent: false, ...tls }, resolve);
    request.once("error", reject);
    request.end();
  });
}

async function fetchOnce(address, options, signal) {
  let url = URL.parse(address);
  if (url === null) throw new CurlError(exitCodes.malformedUrl, "URL malformed");
  for (let redirects = 0; ; redirects++) {
    const response = await open(url, options, signal).catch((error) => {
      if (signal?.aborted) throw new CurlError(exitCodes.timeout, "Operation timed out", true);
      throw new CurlError(exitCodes.connect, error.message, true);
    });
    const status = response.statusCode ?? 0;
    const next = response.headers.location;
    if (options.location && status >= 300 && status < 400 && next && redirects < maxRedirects) {
      response.resume();
      url = new URL(next, url);
      continue;
    }
    if (options.fail && status >= 400) {
      response.resume();
      throw new CurlError(
        exitCodes.http,
        `The requested URL returned error: ${status}`,
        transientStatus.has(status),
      );
    }
    if (options.output) await pipeline(response, createWriteStream(options.output));
    else await pipeline(response, process.stdout, { end: false });
    return;
  }
}

async function main() {
  const { values: options, positionals } = parse(process.argv.slice(2));
  const [address] = positionals;
  if (positionals.length !== 1) throw new CurlError(exitCodes.usage, "exactly one URL is expected");
  const seconds = options["max-time"];
  const attempts = 1 + Number(options.retry ?? 0);
  for (let attempt = 1; ; attempt++) {
    const signal = seconds === undefined ? undefined : AbortSignal.timeout(Number(seconds) * 1000);
    try {
      return await fetchOnce(address, options, signal);
    } catch (error) {
      if (!(error instanceof CurlError) || !error.isTransient || attempt >= attempts) throw error;
      const delaySeconds = Number(options["retry-delay"] ?? 2 ** (attempt - 1));
      await new Promise((resolve) => setTimeout(resolve, delaySeconds * 1000));
    }
  }
}

main().catch((error) => {
  const exitCode = error instanceof CurlError ? error.exitCode : exitCodes.connect;
  process.stderr.write(`curl: (${exitCode}) ${error.message}\n`);
  process.exitCode = exitCode;
});
