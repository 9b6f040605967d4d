import { FORMAT_PAGE } from "./format-page.ts";

const INTRODUCTION = `HOLDFAST BACKUP REPOSITORY

This folder is a repository of Holdfast, an open-source backup of Azure virtual machines. It holds
disks and settings of machines, compressed and (unless repo.json says "encryption": "none") encrypted.

Do not change, rename or move single objects in here. The folder as a whole may be copied anywhere,
also to a local disk, and is complete: nothing else is needed to restore from it, neither the
Holdfast control plane nor an Azure subscription.

WHAT YOU NEED

One secret is enough. Each file keys/<key>/<slot>.json is a key slot, which opens with one of:
  scrypt, argon2id        a password
  recovery-key            the printed recovery key (56 letters and digits in 14 groups)
  key-vault-rsa-oaep-256  a key in the Azure Key Vault that the file names, with permission to unwrap
  none                    nothing: the repository is not encrypted
Without any of them nobody can read the content. There is no back door.

HOW TO READ IT

With the program (its command line needs no control plane; this folder, or a copy of it, is enough):
  holdfast repo ls --repository <folder>       lists the restore points
  holdfast repo check --repository <folder>    verifies what is here
  holdfast repo export ... --repository <folder>   writes a disk of a restore point as an image
  holdfast --help                              tells the rest

Without it: the rest of this file is the page docs/repository-format.md of the version that created
this repository. It is complete: a reader can be written from it alone. It takes SHA-256, HMAC, HKDF,
AES-256-GCM, zstd and what your key slot needs (scrypt, Argon2id or RSA-OAEP); any language has them.
The page is in English, in Markdown.

========================================================================================================

`;

/** `README.txt` of a new repository: for somebody who finds the folder and has never heard of us. */
export function readmeText(): string {
  return INTRODUCTION + FORMAT_PAGE.join("\n## ");
}
