/** Where a repository lies: a folder on this machine or in a blob container. */
import { isIP } from "node:net";
import { resolve } from "node:path";
import { UsageError } from "./usage-error.ts";

export type RepositoryLocation =
  | { readonly kind: "folder"; readonly path: string }
  | {
      readonly kind: "container";
      /** Blob service endpoint of the account, ending in `/`. */
      readonly blobServiceUrl: string;
      readonly container: string;
      /** Without slashes at its ends; empty for the container's root. */
      readonly folder: string;
    };

/**
 * @param place a path, or `https://<account>.blob.core.windows.net/<container>/<folder>`. Behind an
 *   IP address the first part of the path is the account, as the storage service has it.
 * @param directory start of relative paths
 */
export function parseLocation(place: string, directory: string): RepositoryLocation {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(place)) {
    return { kind: "folder", path: resolve(directory, place) };
  }
  // The address itself is not repeated: it may hold a SAS.
  if (!URL.canParse(place)) throw new UsageError("--repository is not a valid URL.");
  const url = new URL(place);
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw new UsageError(
      "--repository takes no SAS and no credentials: other users see arguments. Set HOLDFAST_REPOSITORY_SAS.",
    );
  }
  if (url.protocol !== "https:") throw new UsageError("--repository takes https URLs only.");
  const parts = url.pathname
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const isPathStyle = isIP(url.hostname.replace(/^\[(.*)\]$/, "$1")) !== 0;
  const account = isPathStyle ? parts.shift() : undefined;
  const container = parts.shift();
  if (container === undefined) throw new UsageError("--repository names no container.");
  return {
    kind: "container",
    blobServiceUrl: account === undefined ? `${url.origin}/` : `${url.origin}/${account}/`,
    container,
    folder: parts.join("/"),
  };
}
