/** Writes `infra/roles`: what a role may do follows from what the code calls (docs/decisions/0006-generated-roles.md). */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { projectRoot } from "./roles/program.ts";
import { makeRoles, textOfRole } from "./roles/role-files.ts";

const folder = join(projectRoot, "infra/roles");
const roles = makeRoles();
for (const [file, role] of roles) {
  await writeFile(join(folder, `${file}.json`), textOfRole(role));
}
for (const name of await readdir(folder)) {
  if (!roles.has(name.replace(/\.json$/, ""))) await rm(join(folder, name));
}
console.log(`${roles.size} roles in infra/roles`);
