import { createHash } from "node:crypto";
import { request as httpsRequest } from "node:https";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { AnonymousCredential, PageBlobClient } from "@azure/storage-blob";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findVhdFooterDefect, encodeVhdFooter } from "#core/lib/vhd-footer.ts";
import { mebibyte, pattern, startDiskStack, type DiskStack } from "./disk-stack-fixture.ts";

/** The wire itself: what Azure answers, byte for byte and code for code. */
const sizeBytes = 8 * mebibyte;
const uploadBytes = 20 * mebibyte;
const version = { "x-ms-version": "2021-12-02" };

let stack: DiskStack;
let isNetworkOpen: boolean;

beforeEach(async () => {
  isNetworkOpen = true;
  stack = await startDiskStack({ networkPolicy: () => isNetworkOpen });
  await stack.service.createEmptyDisk({ id: "disk", sizeBytes });
});

afterEach(() => stack.close());

interface Answer {
  status: number;
  code: string | undefined;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

function call(
  method: string,
  url: string,
  headers: Record<string, string> = {},
  body?: Uint8Array,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(url, { method, headers, ca: stack.ca }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const code = response.headers["x-ms-error-code"];
        resolve({
          status: response.statusCode ?? 0,
          code: Array.isArray(code) ? code[0] : code,
          headers: response.headers,
          body: Buffer.concat(chunks),
        });
      });
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function snapshotSas(id: string): Promise<string> {
  await stack.service.createSnapshot({ snapshotId: id, diskId: "disk" });
  return sasOf("snapshot", id);
}

async function sasOf(
  kind: "disk" | "snapshot",
  id: string,
  access: "Read" | "Write" = "Read",
): Promise<string> {
  return (await stack.service.grantAccess({ kind, id, access, durationSeconds: 600 })).accessSas;
}

async function uploadSas(): Promise<string> {
  await stack.service.createUploadDisk({ id: "up", uploadSizeBytes: uploadBytes + 512 });
  return sasOf("disk", "up", "Write");
}

describe("reading", () => {
  it("serves the disk and after it a valid footer of a fixed VHD", async () => {
    await stack.service.guestWrite("disk", 4096, pattern(8192, 1));
    const sas = await snapshotSas("s1");
    const head = await call("HEAD", sas);
    expect(head.status).toBe(200);
    expect(head.headers["content-length"]).toBe(String(sizeBytes + 512));
    expect(head.headers["x-ms-blob-type"]).toBe("PageBlob");
    const whole = await call("GET", sas);
    expect(whole.status).toBe(200);
    expect(whole.body.subarray(4096, 12288).equals(pattern(8192, 1))).toBe(true);
    expect(findVhdFooterDefect(whole.body.subarray(sizeBytes), sizeBytes)).toBeUndefined();
  });

  it.each([
    ["bytes=0-0", 206, "bytes 0-0/8389120", 1],
    ["bytes=8388600-8388620", 206, "bytes 8388600-8388620/8389120", 21],
    ["bytes=8389000-99999999", 206, "bytes 8389000-8389119/8389120", 120],
    ["bytes=8389000-", 206, "bytes 8389000-8389119/8389120", 120],
    ["bytes=8389120-8389121", 416, "bytes */8389120", undefined],
  ])("answers the range %s with %d", async (range, status, contentRange, length) => {
    const sas = await snapshotSas("s1");
    const { body: whole } = await call("GET", sas);
    for (const name of ["Range", "x-ms-range"]) {
      const answer = await call("GET", sas, { ...version, [name]: range });
      expect(answer.status).toBe(status);
      expect(answer.headers["content-range"]).toBe(contentRange);
      if (length === undefined) {
        expect(answer.code).toBe("InvalidRange");
        continue;
      }
      const start = Number(/\d+/.exec(range)?.[0]);
      expect(answer.body.equals(whole.subarray(start, start + length))).toBe(true);
    }
  });

  it("refuses what it does not serve with the Blob service's codes", async () => {
    const sas = await snapshotSas("s1");
    const cases = [
      ["GET", sas, { Range: "bytes=5-1" }, 400, "InvalidHeaderValue"],
      ["GET", sas, { "x-ms-version": "soon" }, 400, "InvalidHeaderValue"],
      ["GET", `${sas}&comp=pagelist`, {}, 400, "MissingRequiredHeader"],
      ["GET", `${sas}&comp=metadata`, version, 400, "InvalidQueryParameterValue"],
      ["DELETE", sas, version, 405, "UnsupportedHttpVerb"],
      ["GET", sas.replace("/abcd?", "/other?"), version, 404, "ResourceNotFound"],
    ] as const;
    for (const [method, url, headers, status, code] of cases) {
      expect(await call(method, url, headers)).toMatchObject({ status, code });
    }
  });
});

describe("access", () => {
  it("is refused when any signed part of the SAS is changed", async () => {
    const sas = new URL(await snapshotSas("s1"));
    for (const name of ["sv", "sr", "si", "sig"]) {
      const changed = new URL(sas);
      const value = changed.searchParams.get(name)!;
      const first = value.startsWith("a") ? "b" : "a";
      changed.searchParams.set(name, first + value.slice(1));
      for (const url of [changed.href, (changed.searchParams.delete(name), changed.href)]) {
        expect(await call("GET", url)).toMatchObject({ status: 403, code: "AuthenticationFailed" });
      }
    }
    const other = new URL(await snapshotSas("s2"));
    other.search = sas.search;
    expect(await call("GET", other.href)).toMatchObject({ code: "AuthenticationFailed" });
  });

  it("ends with the time of the grant and with its revocation, at once", async () => {
    const sas = await snapshotSas("s1");
    expect((await call("HEAD", sas)).status).toBe(200);
    stack.clock.advanceSeconds(600);
    const expired = await call("GET", sas);
    expect(expired).toMatchObject({ status: 403, code: "AuthenticationFailed" });
    expect(expired.body.toString()).toContain("specified time frame");
    const again = await sasOf("snapshot", "s1");
    expect((await call("HEAD", again)).status).toBe(200);
    await stack.service.revokeAccess({ kind: "snapshot", id: "s1" });
    expect((await call("HEAD", again)).status).toBe(403);
  });

  it("does not let a read SAS write nor a write SAS read", async () => {
    const refused = { status: 403, code: "AuthorizationPermissionMismatch" };
    const page = { ...version, "x-ms-page-write": "update", "x-ms-range": "bytes=0-511" };
    const read = await snapshotSas("s1");
    expect(await call("PUT", `${read}&comp=page`, page, new Uint8Array(512))).toMatchObject(
      refused,
    );
    const write = await uploadSas();
    expect(await call("GET", write, version)).toMatchObject(refused);
    expect(await call("GET", `${write}&comp=pagelist`, version)).toMatchObject(refused);
  });

  it("is refused where the network policy says so", async () => {
    const sas = await snapshotSas("s1");
    isNetworkOpen = false;
    expect(await call("GET", sas)).toMatchObject({ status: 403, code: "AuthorizationFailure" });
  });
});

describe("page lists", () => {
  const list = (sas: string, query = "", headers: Record<string, string> = {}) =>
    call("GET", `${sas}&comp=pagelist${query}`, { ...version, ...headers });
  const rangesOf = ({ body }: Answer) =>
    [...body.toString().matchAll(/<(Page|Clear)Range><Start>(\d+)<\/Start><End>(\d+)<\/End>/g)].map(
      ([, kind, start, end]) => `${kind} ${start}-${end}`,
    );
  const markerOf = ({ body }: Answer) =>
    /<NextMarker>(.+)<\/NextMarker>/.exec(body.toString())?.[1];

  it("have inclusive ends and the footer's page", async () => {
    await stack.service.guestWrite("disk", 512, pattern(512, 1));
    const answer = await list(await snapshotSas("s1"));
    expect(rangesOf(answer)).toEqual(["Page 512-1023", "Page 8388608-8389119"]);
    expect(answer.headers["x-ms-blob-content-length"]).toBe(String(sizeBytes + 512));
  });

  it("are cut to a window, and paged by maxresults and marker", async () => {
    for (let index = 0; index < 5; index++) {
      await stack.service.guestWrite("disk", index * 2048, pattern(1024, index));
    }
    const sas = await snapshotSas("s1");
    const window = { "x-ms-range": "bytes=512-7000" };
    expect(rangesOf(await list(sas, "", window))).toEqual([
      "Page 512-1023",
      "Page 2048-3071",
      "Page 4096-5119",
      "Page 6144-7167",
    ]);
    const first = await list(sas, "&maxresults=3", window);
    expect(rangesOf(first)).toHaveLength(3);
    const second = await list(sas, `&maxresults=3&marker=${markerOf(first)}`, window);
    expect(rangesOf(second)).toEqual(["Page 6144-7167"]);
    expect(markerOf(second)).toBeUndefined();
    for (const query of ["&maxresults=0", "&maxresults=10001", "&maxresults=x"]) {
      expect(await list(sas, query)).toMatchObject({ code: "OutOfRangeQueryParameterValue" });
    }
    expect(await list(sas, "&marker=abc")).toMatchObject({ code: "InvalidQueryParameterValue" });
    expect(await list(sas, "&maxresults=3", { "x-ms-version": "2019-12-12" })).toMatchObject({
      status: 400,
      code: "UnsupportedHeader",
    });
  });

  it("show data and cleared ranges since another snapshot, identical rewrites included", async () => {
    await stack.service.guestWrite("disk", 0, pattern(4096, 1));
    const older = await snapshotSas("s1");
    await stack.service.guestWrite("disk", 0, pattern(512, 1));
    await stack.service.guestWrite("disk", 1024, pattern(512, 2));
    await stack.service.guestClear("disk", 1024, 1024);
    const newer = await snapshotSas("s2");
    const since = { "x-ms-previous-snapshot-url": older };
    expect(rangesOf(await list(newer, "", since))).toEqual([
      "Page 0-511",
      "Clear 1024-2047",
      "Page 8388608-8389119",
    ]);
    expect(await list(newer, "", { ...since, "x-ms-version": "2018-11-09" })).toMatchObject({
      status: 400,
      code: "UnsupportedHeader",
    });
  });

  it("refuse a previous snapshot that has no live SAS, other family, or is newer", async () => {
    const older = await snapshotSas("s1");
    const newer = await snapshotSas("s2");
    await stack.service.createEmptyDisk({ id: "other", sizeBytes });
    await stack.service.createSnapshot({ snapshotId: "foreign", diskId: "other" });
    const foreign = await sasOf("snapshot", "foreign");
    const since = (url: string) => ({ "x-ms-previous-snapshot-url": url });
    const refused = await list(newer, "", since(foreign));
    expect(refused).toMatchObject({ status: 409, code: "PreviousSnapshotOperationNotSupported" });
    expect(refused.body.toString()).toContain(
      "Get Page Range Diff can only be called on incremental snapshots with same family id",
    );
    expect(await list(older, "", since(newer))).toMatchObject({
      status: 400,
      code: "PreviousSnapshotCannotBeNewer",
    });
    expect(await list(newer, "", since("nonsense"))).toMatchObject({ code: "InvalidHeaderValue" });
    expect(await list(newer, "&prevsnapshot=2026-11-22T00:00:00.0000000Z")).toMatchObject({
      status: 409,
      code: "PreviousSnapshotNotFound",
    });
    await stack.service.revokeAccess({ kind: "snapshot", id: "s1" });
    expect(await list(newer, "", since(older))).toMatchObject({
      status: 403,
      code: "AuthenticationFailed",
    });
  });
});

describe("writing", () => {
  const put = (sas: string, range: string, body: Uint8Array, headers = {}) =>
    call(
      "PUT",
      `${sas}&comp=page`,
      { ...version, "x-ms-page-write": "update", "x-ms-range": range, ...headers },
      body,
    );

  it("takes pages and clears, and is finished by a valid footer", async () => {
    const sas = await uploadSas();
    const md5 = createHash("md5").update(pattern(1024, 1)).digest("base64");
    const written = await put(sas, "bytes=0-1023", pattern(1024, 1), { "Content-MD5": md5 });
    expect(written).toMatchObject({ status: 201 });
    const clear = { ...version, "x-ms-page-write": "clear", "x-ms-range": "bytes=512-1023" };
    expect((await call("PUT", `${sas}&comp=page`, clear)).status).toBe(201);
    const footer = encodeVhdFooter({
      sizeBytes: uploadBytes,
      uniqueId: new Uint8Array(16),
      createdAtMs: 0,
    });
    const last = `bytes=${uploadBytes}-${uploadBytes + 511}`;
    await put(sas, last, footer);
    await put(
      sas,
      last,
      footer.map((byte) => byte ^ 1),
    );
    await stack.service.revokeAccess({ kind: "disk", id: "up" });
    expect(stack.service.describeDisk("up")!.uploadDefect).toBe("FooterMissing");
    expect((await put(sas, last, footer)).status).toBe(403);
  });

  it("keeps what was written next to a footer in the same request", async () => {
    const sas = await uploadSas();
    const footer = encodeVhdFooter({
      sizeBytes: uploadBytes,
      uniqueId: new Uint8Array(16),
      createdAtMs: 0,
    });
    const end = Buffer.concat([pattern(512, 3), footer]);
    await put(sas, `bytes=${uploadBytes - 512}-${uploadBytes + 511}`, end);
    await stack.service.revokeAccess({ kind: "disk", id: "up" });
    expect(stack.service.describeDisk("up")!.uploadDefect).toBeUndefined();
    expect(await stack.service.guestRead("up", uploadBytes - 512, 512)).toEqual(pattern(512, 3));
  });

  it("refuses wrong ranges, sizes, sums and verbs with the Blob service's codes", async () => {
    const sas = await uploadSas();
    const page = new Uint8Array(512);
    const large = new Uint8Array(4 * mebibyte + 512);
    const end = uploadBytes + 512;
    const answers = [
      [await put(sas, "bytes=1-512", page), 416, "InvalidPageRange"],
      [await put(sas, "bytes=0-510", page.subarray(1)), 416, "InvalidPageRange"],
      [await put(sas, `bytes=${end}-${end + 511}`, page), 416, "InvalidPageRange"],
      [await put(sas, "bytes=0-1023", page), 400, "InvalidHeaderValue"],
      [await put(sas, `bytes=0-${large.length - 1}`, large), 413, "RequestBodyTooLarge"],
      [await put(sas, "bytes=0-511", page, { "Content-MD5": "AAAA" }), 400, "Md5Mismatch"],
      [await put(sas, "bytes=0-511", page, { "x-ms-page-write": "x" }), 400, "InvalidHeaderValue"],
      [
        await put(sas, "bytes=0-511", page, { "x-ms-page-write": "clear" }),
        400,
        "InvalidHeaderValue",
      ],
      [await call("PUT", `${sas}&comp=page`, version, page), 400, "MissingRequiredHeader"],
    ] as const;
    for (const [answer, status, code] of answers) expect(answer).toMatchObject({ status, code });
  });
});

it("is understood by Azure's own client", async () => {
  // The client has no option for a certificate authority; this file runs in a process of its own.
  setDefaultCACertificates([...getCACertificates("default"), stack.ca]);
  await stack.service.guestWrite("disk", 4096, pattern(8192, 1));
  const older = await snapshotSas("s1");
  await stack.service.guestClear("disk", 4096, 512);
  const newer = await snapshotSas("s2");
  const client = new PageBlobClient(newer, new AnonymousCredential());
  expect((await client.getProperties()).contentLength).toBe(sizeBytes + 512);
  const bytes = await client.downloadToBuffer(4608, 1024);
  expect(bytes.equals(pattern(8192, 1).subarray(512, 1536))).toBe(true);
  const listed = [];
  for await (const { start, end } of client.listPageRanges(0, sizeBytes))
    listed.push({ start, end });
  expect(listed).toEqual([{ start: 4608, end: 12287 }]);
  const diff = await client.getPageRangesDiffForManagedDisks(0, sizeBytes, older);
  expect(diff.pageRange).toEqual([]);
  // The client's known fault: one byte less than the 512 that were cleared.
  expect(diff.clearRange).toEqual([{ offset: 4096, count: 511 }]);
  const upload = new PageBlobClient(await uploadSas(), new AnonymousCredential());
  await upload.uploadPages(pattern(1024, 2), 0, 1024);
  await upload.clearPages(512, 512);
  await expect(upload.uploadPages(pattern(100, 2), 0, 100)).rejects.toMatchObject({
    statusCode: 416,
    code: "InvalidPageRange",
  });
});
