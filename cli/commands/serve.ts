import { resolve } from "node:path";
import { messageOf } from "#core/lib/errors.ts";
import { EXIT_CODES, textOf, type Command } from "../command-line.ts";
import { serveNbd } from "../nbd/server.ts";
import { openDisk } from "../restore-points.ts";
import { UsageError } from "../usage-error.ts";
import { DISK_HELP, DISK_OPTIONS, DISK_USAGE, diskNameOf } from "./disk-arguments.ts";

/** `serve`: a disk as a read-only network block device, to be mounted without exporting it first. */
export const serveCommand: Command = {
  name: "serve",
  usage: `${DISK_USAGE} --socket FILE`,
  summary: "Serves a disk read-only over NBD, to mount it, until Ctrl-C.",
  details: [
    ...DISK_HELP,
    "--socket FILE           Unix socket to make; only you can connect to it",
    "",
    "The address is printed when it answers. What takes it: nbd-client and mount, qemu-nbd, nbdfuse,",
    "guestmount, qemu-img.",
  ],
  options: { ...DISK_OPTIONS, socket: { type: "string" } },
  positionalCounts: [3],
  async run(context) {
    const { repository, options, terminal, signal } = context;
    const socket = textOf(options, "socket");
    if (socket === undefined || socket === "") throw new UsageError("--socket FILE is missing.");
    const path = resolve(terminal.directory, socket);
    await using codec = context.startCodec();
    const disk = await openDisk(repository, diskNameOf(context), codec, signal);
    const onReadFailed = (error: unknown): void => {
      terminal.complain(`holdfast: a read failed: ${messageOf(error)}`);
    };
    const onListening = (): void => {
      const name = path.split("/").map(encodeURIComponent).join("/");
      terminal.print(`nbd+unix:///?socket=${name}`);
      terminal.complain(`A disk of ${disk.sizeBytes} bytes, read-only. Ctrl-C ends it.`);
    };
    await serveNbd({ disk, path, onReadFailed, onListening }, signal);
    return EXIT_CODES.ok;
  },
};
