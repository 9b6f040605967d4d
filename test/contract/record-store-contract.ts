import { expect, test } from "vitest";
import type { RecordStore, RecordTable } from "#core/ports/records.ts";

/** What every record store owes (`core/ports/records.ts`). `make` answers a store without records. */
export function recordStoreContract(make: () => Promise<RecordStore>): void {
  async function emptyTable(): Promise<RecordTable> {
    return (await make()).table("sessions");
  }

  async function idsOf(table: RecordTable, partition: string, prefix?: string): Promise<string[]> {
    const records = table.list(partition, prefix === undefined ? {} : { prefix });
    return (await collect(records)).map(({ id }) => id);
  }

  test("answers nothing before anything was written", async () => {
    const table = await emptyTable();
    expect(await table.read("p", "a")).toBeUndefined();
    expect(await idsOf(table, "p")).toEqual([]);
    await expect(table.delete("p", "a")).resolves.toBeUndefined();
  });

  test("an insert is a claim: the second one leaves the first as it is", async () => {
    const table = await emptyTable();
    expect(await table.insert("p", "a", { owner: 1 })).toBe("inserted");
    expect(await table.insert("p", "a", { owner: 2 })).toBe("exists");
    expect((await table.read("p", "a"))?.value).toEqual({ owner: 1 });
  });

  test("of many inserts at once exactly one wins", async () => {
    const table = await emptyTable();
    await table.insert("p", "other", {});
    const claims = Array.from({ length: 8 }, (_, owner) => table.insert("p", "a", { owner }));
    const outcomes = await Promise.all(claims);
    expect(outcomes.filter((outcome) => outcome === "inserted")).toHaveLength(1);
  });

  test("a put without a version writes whatever is there, or nothing", async () => {
    const table = await emptyTable();
    expect(await table.put("p", "a", { n: 1 })).toBe("written");
    expect(await table.put("p", "a", { n: 2 })).toBe("written");
    expect((await table.read("p", "a"))?.value).toEqual({ n: 2 });
  });

  test("a put with a version writes only while it is that version", async () => {
    const table = await emptyTable();
    await table.put("p", "a", { n: 1 });
    const first = await table.read("p", "a");
    const ifVersion = first?.version ?? "";
    expect(await table.put("p", "a", { n: 2 }, { ifVersion })).toBe("written");
    expect(await table.put("p", "a", { n: 3 }, { ifVersion })).toBe("changed");
    expect((await table.read("p", "a"))?.value).toEqual({ n: 2 });
    expect((await table.read("p", "a"))?.version).not.toBe(ifVersion);
  });

  test("a put with a version of what was deleted says changed", async () => {
    const table = await emptyTable();
    await table.put("p", "a", {});
    const ifVersion = (await table.read("p", "a"))?.version ?? "";
    await table.delete("p", "a");
    expect(await table.put("p", "a", {}, { ifVersion })).toBe("changed");
    expect(await table.read("p", "a")).toBeUndefined();
  });

  test("a shorter document leaves nothing of the longer one before it", async () => {
    const table = await emptyTable();
    await table.put("p", "a", { text: "x".repeat(100_000) });
    await table.put("p", "a", { text: "y" });
    expect((await table.read("p", "a"))?.value).toEqual({ text: "y" });
  });

  test("lists one partition, ascending by id, by prefix", async () => {
    const table = await emptyTable();
    for (const id of ["b/2", "a", "b/10", "b", "c", "b/1", "b.1", "b-1"]) {
      await table.put("p", id, { id });
    }
    await table.put("q", "b/3", {});
    expect(await idsOf(table, "p")).toEqual(["a", "b", "b-1", "b.1", "b/1", "b/10", "b/2", "c"]);
    expect(await idsOf(table, "p", "b/")).toEqual(["b/1", "b/10", "b/2"]);
    expect(await idsOf(table, "p", "nothing")).toEqual([]);
  });

  test("keeps ids and partitions of any characters as they are", async () => {
    const table = await emptyTable();
    const resource = "/subscriptions/s-1/resourceGroups/My Group/providers/x";
    const ids = [
      resource,
      "50%25",
      "it's",
      "a#b?c\\d",
      "tab\tnew\n",
      "ünïcode-雪",
      "\u007f~\u0085",
    ];
    for (const id of ids) await table.put(resource, id, { id });
    const records = await collect(table.list(resource));
    expect(records.map(({ id }) => id)).toEqual([...ids].sort());
    for (const { id, value, partition } of records) {
      expect(value).toEqual({ id });
      expect(partition).toBe(resource);
      expect((await table.read(resource, id))?.value).toEqual({ id });
    }
  });

  test("holds documents up to the stated size and refuses larger ones", async () => {
    const table = await emptyTable();
    const value = { text: "x".repeat(499_900) };
    await table.put("p", "large", value);
    const read = await table.read("p", "large");
    expect(JSON.stringify(read?.value) === JSON.stringify(value)).toBe(true);
    const tooLarge = table.put("p", "x", { text: "x".repeat(500_001) });
    await expect(tooLarge).rejects.toMatchObject({ code: "RecordTooLarge" });
  });

  test("keeps text outside of ASCII whole, however long it is", async () => {
    const table = await emptyTable();
    const value = { text: "a" + "😀é".repeat(20_000) };
    await table.put("p", "text", value);
    const read = await table.read("p", "text");
    // Not toEqual: its report of a difference would fill the terminal.
    expect(JSON.stringify(read?.value) === JSON.stringify(value)).toBe(true);
  });

  test("lists more records than one answer of the service holds", async () => {
    const table = await emptyTable();
    const ids = Array.from({ length: 1_050 }, (_, index) => String(index).padStart(5, "0"));
    for (let start = 0; start < ids.length; start += 50) {
      await Promise.all(ids.slice(start, start + 50).map((id) => table.put("p", id, {})));
    }
    expect(await idsOf(table, "p")).toEqual(ids);
  });

  test("refuses an empty id", async () => {
    const table = await emptyTable();
    await expect(table.put("p", "", {})).rejects.toMatchObject({ code: "InvalidRecordId" });
  });
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
