/** What a command sees of the process that it runs in. */
import type { ReadStream } from "node:tty";

export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Relative names of files start here. */
  readonly directory: string;
  /** A line of standard output. */
  print(line: string): void;
  /** A line of standard error. */
  complain(line: string): void;
  /** Bytes of standard output; resolves when they are taken. */
  writeBytes(bytes: Uint8Array): Promise<void>;
  /** A line that the next one replaces; absent when nobody watches standard error. */
  readonly showProgress?: (line: string) => void;
  /** Asks without showing what is typed; absent when nobody can type. */
  readonly askSecret?: (question: string, signal: AbortSignal) => Promise<string>;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  return {
    environment: process.env,
    // npm runs scripts in the project's directory.
    directory: process.env["INIT_CWD"] ?? process.cwd(),
    print: (line) => void stdout.write(`${line}\n`),
    complain: (line) => void stderr.write(`${line}\n`),
    writeBytes: async (bytes) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
      await promise;
    },
    // Back to the start of the line, then clear it (ECMA-48).
    ...(stderr.isTTY && { showProgress: (line: string) => void stderr.write(`\r\u001B[K${line}`) }),
    ...(stdin.isTTY &&
      stderr.isTTY && {
        askSecret: (question: string, signal: AbortSignal) =>
          askWithoutEcho(stdin, (text) => void stderr.write(text), { question, signal }),
      }),
  };
}

/** Reads one line from a terminal in raw mode, so that it shows nothing. */
async function askWithoutEcho(
  input: ReadStream,
  write: (text: string) => void,
  { question, signal }: { readonly question: string; readonly signal: AbortSignal },
): Promise<string> {
  write(question);
  input.setRawMode(true);
  input.setEncoding("utf8");
  let line = "";
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const onAbort = (): void => reject(signal.reason);
  const onData = (text: string): void => {
    for (const character of text) {
      if (character === "\r" || character === "\n") return resolve(line);
      // Raw mode hands Ctrl-C and Ctrl-D over as characters.
      if (character === "\u0003" || character === "\u0004") process.kill(process.pid, "SIGINT");
      else if (character === "\u007F" || character === "\b") line = line.slice(0, -1);
      else line += character;
    }
  };
  input.on("data", onData);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await promise;
  } finally {
    input.off("data", onData);
    signal.removeEventListener("abort", onAbort);
    input.setRawMode(false);
    input.pause();
    write("\n");
  }
}
