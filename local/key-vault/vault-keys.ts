/** The keys of a simulated vault: named, in versions, each an RSA key pair. */
import {
  constants,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from "node:crypto";

/** https://learn.microsoft.com/azure/key-vault/keys/about-keys-details#key-types */
export const RSA_SIZES: readonly number[] = [2048, 3072, 4096];

export interface KeyVersion {
  readonly version: string;
  readonly createdSeconds: number;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly operations: readonly string[];
  enabled: boolean;
  updatedSeconds: number;
}

interface NamedKey {
  readonly versions: KeyVersion[];
  isDeleted: boolean;
}

const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } as const;

export class VaultKeys {
  readonly #keys = new Map<string, NamedKey>();
  readonly #nowSeconds: () => number;

  constructor(nowSeconds: () => number) {
    this.#nowSeconds = nowSeconds;
  }

  /** A new version of the key; `deleted` while the name is taken by a deleted key. */
  create(name: string, sizeBits: number, operations: readonly string[]): KeyVersion | "deleted" {
    const key = this.#keys.get(name.toLowerCase()) ?? { versions: [], isDeleted: false };
    if (key.isDeleted) return "deleted";
    const pair = generateKeyPairSync("rsa", { modulusLength: sizeBits });
    const createdSeconds = this.#nowSeconds();
    const version: KeyVersion = {
      version: randomBytes(16).toString("hex"),
      createdSeconds,
      ...pair,
      operations,
      enabled: true,
      updatedSeconds: createdSeconds,
    };
    key.versions.push(version);
    this.#keys.set(name.toLowerCase(), key);
    return version;
  }

  /** Oldest first; empty for a key that is not there or deleted. */
  versionsOf(name: string): readonly KeyVersion[] {
    const key = this.#keys.get(name.toLowerCase());
    return key === undefined || key.isDeleted ? [] : key.versions;
  }

  /** The newest version when none is named. */
  find(name: string, version: string): KeyVersion | undefined {
    const versions = this.versionsOf(name);
    return version === "" ? versions.at(-1) : versions.find((each) => each.version === version);
  }

  setEnabled(key: KeyVersion, enabled: boolean): void {
    key.enabled = enabled;
    key.updatedSeconds = this.#nowSeconds();
  }

  /** Soft delete: the name stays taken until the key is recovered. */
  setDeleted(name: string, isDeleted: boolean): boolean {
    const key = this.#keys.get(name.toLowerCase());
    if (key === undefined || key.isDeleted === isDeleted) return false;
    key.isDeleted = isDeleted;
    return true;
  }
}

export function wrapWith({ publicKey }: KeyVersion, bytes: Uint8Array): Buffer {
  return publicEncrypt({ key: publicKey, ...oaep }, bytes);
}

/** undefined when the bytes were not wrapped by this key. */
export function unwrapWith({ privateKey }: KeyVersion, bytes: Uint8Array): Buffer | undefined {
  try {
    return privateDecrypt({ key: privateKey, ...oaep }, bytes);
  } catch {
    // OpenSSL tells nothing but that the padding does not fit.
    return undefined;
  }
}
