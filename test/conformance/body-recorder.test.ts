import { expect, test } from "vitest";
import { BodyRecorder } from "./body-recorder.ts";
import { TypeChecker } from "./type-data.ts";

/** A type with a required, a read-only and a write-only property. */
const checker = new TypeChecker({
  resources: { "Some.Provider/things/parts@2026-01-01": 0 },
  types: [
    { $type: "ResourceType", body: { $ref: 1 } },
    {
      $type: "ObjectType",
      properties: {
        id: { type: { $ref: 2 }, flags: 10 },
        type: { type: { $ref: 2 }, flags: 10 },
        size: { type: { $ref: 3 }, flags: 1 },
        state: { type: { $ref: 2 }, flags: 2 },
        secret: { type: { $ref: 2 }, flags: 4 },
      },
    },
    { $type: "StringType" },
    { $type: "IntegerType" },
  ],
});
const type = "Some.Provider/things/parts";
const path = "/subscriptions/s/resourceGroups/g/providers/Some.Provider/things/a/parts/b";
const record = {
  at: new Date(0),
  method: "PUT",
  path,
  apiVersion: "2026-01-01",
  action: undefined,
  linkedActions: [],
  scope: undefined,
  principalId: "control-plane",
  status: 201,
  errorCode: undefined,
  requestBody: undefined,
  responseBody: undefined,
};

test("bodies that fit have no findings, and are counted by who sent them", () => {
  const recorder = new BodyRecorder(checker);
  const responseBody = { id: path, type, size: 4, state: "Succeeded" };
  recorder.observe({ ...record, requestBody: { size: 4, secret: "x" }, responseBody });
  recorder.observe({ ...record, method: "PATCH", requestBody: { secret: "y" } });
  recorder.observe({ ...record, method: "GET", status: 404, responseBody: { error: {} } });
  expect(recorder.findings).toEqual([]);
  expect(recorder.sentBy("control-plane")).toEqual([type]);
  expect(recorder.sentBy("operator")).toEqual([]);
  expect(recorder.counts).toEqual({ requestCount: 2, answerCount: 1 });
});

test("each difference of what is sent and answered is found, also in lists", () => {
  const recorder = new BodyRecorder(checker);
  recorder.observe({ ...record, requestBody: { state: "x", more: 1 } });
  const wrong = { id: path, type, size: "4", secret: "x" };
  recorder.observe({ ...record, method: "GET", responseBody: { value: [wrong, wrong] } });
  expect(recorder.findings).toEqual([
    `PUT ${type} .more: unknown property`,
    `PUT ${type} .size: required, but missing`,
    `PUT ${type} .state: read-only, but sent`,
    `answer to GET ${type} .secret: write-only, but answered`,
    `answer to GET ${type} .size: an integer is expected`,
  ]);
});

test("types without data are named", () => {
  const recorder = new BodyRecorder(checker);
  const other = "/subscriptions/s/resourceGroups/g";
  recorder.observe({ ...record, path: other, requestBody: { location: "x" } });
  recorder.observe({ ...record, method: "GET", responseBody: { id: "i", type: "Other/things" } });
  expect(recorder.typesWithoutData).toEqual(["Microsoft.Resources/resourceGroups", "Other/things"]);
});
