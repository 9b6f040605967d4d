import { access, constants, mkdir } from "node:fs/promises";
import { join } from "node:path";

/** Names of the marker variables: processes of a guest are found by them. */
export const guestMarkerVariable = "LOCAL_AZURE_GUEST";

/** Where one guest keeps what a VM keeps on its OS disk. */
export interface GuestDirectory {
  readonly path: string;
  readonly home: string;
  readonly tmp: string;
  readonly log: string;
  /** `/opt/holdfast` of the guest: the install prefix of whoever installs something below /opt. */
  readonly installPrefix: string;
  /** One folder per script run, as `/var/lib/waagent/run-command-handler/download`. */
  readonly runs: string;
}

export interface GuestEnvironmentOptions {
  readonly marker: string;
  readonly directory: GuestDirectory;
  /** PEM bundle of the authorities that the image trusts. */
  readonly trustedCertificatesFile: string;
  /** Base URL of this VM's instance metadata service; absent when the VM has no identity. */
  readonly metadataEndpoint?: string | undefined;
}

/** Where Ubuntu keeps its programs; the guest sees those of the machine that it runs on. */
const imagePath = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

const guestPrograms = join(import.meta.dirname, "guest-bin");

export function guestDirectory(path: string): GuestDirectory {
  return {
    path,
    home: join(path, "home"),
    tmp: join(path, "tmp"),
    log: join(path, "var", "log"),
    installPrefix: join(path, "opt", "holdfast"),
    runs: join(path, "var", "lib", "runs"),
  };
}

/** Creates what a freshly booted image has. Safe to repeat. */
export async function createGuestDirectory(directory: GuestDirectory): Promise<void> {
  const { home, tmp, log, installPrefix, runs } = directory;
  for (const path of [home, tmp, log, installPrefix, runs]) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  }
}

/**
 * The environment of a guest's processes: nothing of the simulator's own environment but what a clean
 * Ubuntu image would set, the local authority as if it were in the image's trust store, and the
 * instance metadata service, which has a fixed address in Azure and needs a variable here
 * (`AZURE_POD_IDENTITY_AUTHORITY_HOST` is read by @azure/identity for IMDS).
 */
export function guestEnvironment(options: GuestEnvironmentOptions): Record<string, string> {
  const { directory, trustedCertificatesFile, metadataEndpoint } = options;
  return {
    PATH: [guestPrograms, ...imagePath].join(":"),
    HOME: directory.home,
    TMPDIR: directory.tmp,
    LANG: "C.UTF-8",
    NODE_EXTRA_CA_CERTS: trustedCertificatesFile,
    CURL_CA_BUNDLE: trustedCertificatesFile,
    SSL_CERT_FILE: trustedCertificatesFile,
    HOLDFAST_ROOT: directory.installPrefix,
    // For guest-bin/curl on a machine without curl.
    LOCAL_AZURE_NODE: process.execPath,
    [guestMarkerVariable]: options.marker,
    ...(metadataEndpoint === undefined
      ? {}
      : { AZURE_POD_IDENTITY_AUTHORITY_HOST: metadataEndpoint }),
  };
}

export async function fileExists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}
