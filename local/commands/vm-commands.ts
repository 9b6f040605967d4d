import { callStack } from "#local/stack/control-client.ts";
import { absolutePath, parseTags, requireText, textList, type Command } from "./command-line.ts";
import { formatSize, formatTable } from "./table.ts";

export const vmCommands: readonly Command[] = [
  {
    name: "vm create",
    usage: "--name NAME --region REGION --os-disk FILE [--data-disk FILE]... [--tag NAME=VALUE]...",
    summary:
      "Makes a virtual machine from raw disk images.\n" +
      "The files are copied; a size that is no multiple of 512 bytes is filled up with zeros.",
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
          print(`  ${disk.slot}: ${disk.name}, ${formatSize(disk.sizeBytes)}`);
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
];
