import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import type { TokenCredential } from "@azure/core-auth";
import { SignJWT } from "jose";
import { ensureServerTls } from "#local/tls/authority.ts";

/** Azurite over TLS with bearer tokens, in path style: what the adapters meet on the local Azure. */
export interface AzuriteOverTls extends AsyncDisposable {
  readonly blobUrl: string;
  readonly queueUrl: string;
  readonly tableUrl: string;
  readonly credential: TokenCredential;
}

const preload = import.meta.resolve("#local/storage/without-telemetry.ts");
const SERVICES = ["Blob", "Queue", "Table"] as const;
const TENANT_ID = "ab1f708d-50f6-404c-a006-d71b2ac7a606";

export async function startAzuriteOverTls(): Promise<AzuriteOverTls> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-azurite-"));
  const tls = await ensureServerTls({ directory });
  setDefaultCACertificates([...getCACertificates("default"), tls.ca]);
  const program = createRequire(import.meta.url).resolve("azurite/dist/src/azurite.js");
  const ports = SERVICES.flatMap((service) => [`--${service.toLowerCase()}Port`, "0"]);
  const security = ["--oauth", "basic", "--cert", tls.certificatePath, "--key", tls.keyPath];
  const rest = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"];
  const words = ["--import", preload, program, ...ports, ...security, ...rest];
  const child = spawn(process.execPath, words, {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: directory,
  });
  const [blobUrl = "", queueUrl = "", tableUrl = ""] = await endpointsOf(child);
  return {
    blobUrl,
    queueUrl,
    tableUrl,
    credential: { getToken: makeToken },
    async [Symbol.asyncDispose]() {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true });
    },
  };
}

async function endpointsOf(child: ChildProcess): Promise<string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string[]>();
  let text = "";
  child.stdout?.on("data", (chunk) => {
    text += String(chunk);
    const urls = SERVICES.map((service) => {
      const line = new RegExp(`${service} service is successfully listening at (https://\\S+)`);
      return line.exec(text)?.[1];
    });
    if (urls.every((url) => url !== undefined)) {
      resolve(urls.map((url) => `${url}/devstoreaccount1`));
    }
  });
  child.once("exit", () => reject(new Error(`Azurite did not start: ${text}`)));
  return promise;
}

/** Azurite asks for a well-formed token with the right audience; it does not check the signature. */
async function makeToken() {
  const expiresAt = Math.floor(Date.now() / 1000) + 3600;
  const token = await new SignJWT({ oid: TENANT_ID, tid: TENANT_ID })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience("https://storage.azure.com")
    .setIssuer(`https://sts.windows.net/${TENANT_ID}/`)
    .setIssuedAt()
    .setNotBefore("-1m")
    .setExpirationTime(expiresAt)
    .sign(randomBytes(32));
  return { token, expiresOnTimestamp: expiresAt * 1000 };
}
