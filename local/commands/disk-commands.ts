import { callStack } from "#local/stack/control-client.ts";
import { absolutePath, requireCount, requireText, type Command } from "./command-line.ts";
import { formatSize, formatTable } from "./table.ts";

export const diskCommands: readonly Command[] = [
  {
    name: "disk list",
    usage: "[--json]",
    summary: "Lists the managed disks.",
    options: { json: { type: "boolean" } },
    async run({ stateDirectory, options, print }) {
      const disks = await callStack(stateDirectory, "listDisks", {});
      if (options["json"] === true) print(JSON.stringify(disks, undefined, 2));
      else {
        const rows = disks.map((disk) => [
          disk.name,
          disk.region,
          formatSize(disk.sizeBytes),
          disk.state,
          disk.vm ?? "",
        ]);
        const columns = [
          { title: "NAME" },
          { title: "REGION" },
          { title: "SIZE", align: "right" as const },
          { title: "STATE" },
          { title: "VM" },
        ];
        print(formatTable(columns, rows));
      }
      return 0;
    },
  },
  {
    name: "disk write",
    usage: "--disk NAME --offset BYTES --file FILE",
    summary: "Writes the bytes of a file to a disk, as a program in its guest would.",
    options: {
      disk: { type: "string" },
      offset: { type: "string" },
      file: { type: "string" },
    },
    async run({ stateDirectory, options, print }) {
      const disk = requireText(options, "disk");
      const offsetBytes = requireCount(options, "offset");
      const file = absolutePath(requireText(options, "file"));
      const input = { disk, offsetBytes, file };
      const { writtenBytes } = await callStack(stateDirectory, "writeDisk", input);
      print(`${writtenBytes} bytes written to ${disk} at byte ${offsetBytes}`);
      return 0;
    },
  },
  {
    name: "disk export",
    usage: "--disk NAME --out FILE",
    summary:
      "Writes a disk's bytes to a new sparse file.\n" +
      "A disk that came from an image, or was restored from one, has the image's exact size again,\n" +
      "unless something was written behind the image's end.",
    options: { disk: { type: "string" }, out: { type: "string" } },
    async run({ stateDirectory, options, print }) {
      const disk = requireText(options, "disk");
      const out = absolutePath(requireText(options, "out"));
      const { sizeBytes } = await callStack(stateDirectory, "exportDisk", { disk, out });
      print(`${out}: ${sizeBytes} bytes`);
      return 0;
    },
  },
];
