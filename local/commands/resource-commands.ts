import { callStack } from "#local/stack/control-client.ts";
import type { Command } from "./command-line.ts";
import { formatTable } from "./table.ts";

const tagCharactersMax = 40;

export const resourceCommands: readonly Command[] = [
  {
    name: "resources",
    usage: "[--json]",
    summary:
      "Lists everything that exists now, with tags and the expiry of live SAS. What nothing uses any\n" +
      "more is an orphan, with the reason. Long values are cut; --json has all of them.",
    options: { json: { type: "boolean" } },
    async run({ stateDirectory, options, print }) {
      const resources = await callStack(stateDirectory, "listResources", {});
      if (options["json"] === true) print(JSON.stringify(resources, undefined, 2));
      else {
        const columns = ["TYPE", "NAME", "REGION", "SAS UNTIL", "ORPHAN", "TAGS"].map((title) => ({
          title,
        }));
        const rows = resources.map((resource) => [
          resource.type.replace("Microsoft.", ""),
          resource.name,
          resource.region ?? "",
          resource.sasExpiresAt ?? "",
          resource.orphan ?? "",
          Object.entries(resource.tags)
            .map(([name, value]) => `${name}=${shorten(value)}`)
            .join(" "),
        ]);
        print(formatTable(columns, rows));
        const orphans = resources.filter(({ orphan }) => orphan !== undefined);
        print(`${resources.length} resources, ${orphans.length} of them orphans`);
        for (const { resourceId, orphan } of orphans) print(`  ${resourceId}: ${orphan}`);
      }
      return 0;
    },
  },
];

/** The metadata of snapshots is one long ciphertext. */
function shorten(value: string): string {
  return value.length <= tagCharactersMax ? value : `${value.slice(0, tagCharactersMax - 1)}…`;
}
