import { callStack } from "#local/stack/control-client.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { absolutePath, parseTags, requireText, textList, type Command } from "./command-line.ts";
import { formatSize, formatTable } from "./table.ts";

const sectorSizeBytes = 512;

export const vmCommands: readonly Command[] = [
  {
    name: "vm create",
    usage: "--name NAME --region REGION --os-disk FILE [--data-disk FILE]... [--tag NAME=VALUE]...",
    summary:
      "Makes a virtual machine from raw disk images.\n" +
      "The files are copied. Any size will do: what is no multiple of 512 bytes, or below 20 MiB\n" +
      "(Azure takes no smaller upload), is filled up with zeros; `disk export` leaves them out.",
    options: {
      name: { type: "string" },
      region: { type: "string" },
      "os-disk": { type: "string" },
      "data-disk": { type: "string", multiple: true },
      tag: { type: "string", multiple: true },
      json: { type: "boolean" },
    },
    async run({ stateDirectory, options, print }) {
      const vm = await callStack(stateDirectory, "createVm", {
        name: requireText(options, "name"),
        region: requireText(options, "region"),
        osDisk: absolutePath(requireText(options, "os-disk")),
        dataDisks: textList(options, "data-disk").map(absolutePath),
        tags: parseTags(textList(options, "tag")),
      });
      if (options["json"] === true) print(JSON.stringify(vm, undefined, 2));
      else {
        print(`${vm.name} runs in ${vm.region}; its id is ${vm.vmId}`);
        for (const disk of vm.disks) {
          print(
            `  ${disk.slot}: ${disk.name}, ${formatSize(disk.sizeBytes)}${describeFilling(disk)}`,
          );
        }
      }
      return 0;
    },
  },
  {
    name: "vm list",
    usage: "[--json]",
    summary: "Lists the virtual machines, workers included.",
    options: { json: { type: "boolean" } },
    async run({ stateDirectory, options, print }) {
      const vms = await callStack(stateDirectory, "listVms", {});
      if (options["json"] === true) print(JSON.stringify(vms, undefined, 2));
      else {
        const columns = ["NAME", "REGION", "STATE", "ID", "DISKS"].map((title) => ({ title }));
        const rows = vms.map((vm) => [
          vm.name,
          vm.region,
          vm.state,
          vm.vmId,
          vm.disks.map(({ name, sizeBytes }) => `${name} (${formatSize(sizeBytes)})`).join(", "),
        ]);
        print(formatTable(columns, rows));
      }
      return 0;
    },
  },
  {
    name: "vm delete",
    usage: "--name NAME",
    summary: "Deletes a virtual machine with its disks and its network interface.",
    options: { name: { type: "string" } },
    async run({ stateDirectory, options, print }) {
      const name = requireText(options, "name");
      await callStack(stateDirectory, "deleteVm", { name });
      print(`${name} is gone.`);
      return 0;
    },
  },
  {
    name: "vm evict",
    usage: "--name NAME",
    summary: "Evicts a Spot machine without notice, as Azure does when it wants its room back.",
    options: { name: { type: "string" } },
    async run({ stateDirectory, options, print }) {
      const name = requireText(options, "name");
      await callStack(stateDirectory, "evictVm", { name });
      print(`${name} was evicted.`);
      return 0;
    },
  },
];

function describeFilling({ sizeBytes, imageSizeBytes }: VmRow["disks"][number]): string {
  if (imageSizeBytes === undefined || imageSizeBytes === sizeBytes) return "";
  const why =
    sizeBytes - imageSizeBytes < sectorSizeBytes
      ? "a disk is whole sectors"
      : "Azure takes no upload below 20 MiB";
  return ` (the image's ${imageSizeBytes} bytes and zeros: ${why}; an export leaves them out)`;
}
