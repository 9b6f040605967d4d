import { randomUUID } from "node:crypto";
import type { ContainerClient } from "@azure/storage-blob";
import { unlessMissing } from "../../storage/rest-errors.ts";

/** Blobs for what does not fit into a table property or a queue message: `<hub>-largemessages`. */
export class LargeValues {
  readonly #container: ContainerClient;

  constructor(container: ContainerClient) {
    this.#container = container;
  }

  async initialize(): Promise<void> {
    await this.#container.createIfNotExists();
  }

  /** Name of the new blob, below `folder`. */
  async write(folder: string, text: string): Promise<string> {
    const name = `${folder}/${randomUUID()}.json`;
    await this.#container.getBlockBlobClient(name).upload(text, Buffer.byteLength(text));
    return name;
  }

  async read(name: string): Promise<string> {
    return (await this.#container.getBlobClient(name).downloadToBuffer()).toString("utf8");
  }

  async delete(name: string): Promise<void> {
    await unlessMissing(async () => this.#container.deleteBlob(name));
  }

  /** Deletes all below `folder` but what starts with one of `kept`. */
  async deleteFolder(folder: string, kept: readonly string[] = []): Promise<void> {
    for await (const { name } of this.#container.listBlobsFlat({ prefix: `${folder}/` })) {
      if (!kept.some((prefix) => name.startsWith(prefix))) await this.delete(name);
    }
  }
}
