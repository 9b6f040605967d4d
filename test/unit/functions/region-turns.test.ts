import { beforeEach, expect, it } from "vitest";
import { FREE_TURN } from "#core/network/region-turn.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { prepareRegion } from "./region-session.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

/** Sessions that begin at once in one region change its network in turn. */
const REGION = "westeurope";
const SESSIONS = Array.from({ length: 10 }, (_, index) => `region-${index}`);
let world: World;

beforeEach(async () => {
  world = createWorld();
  await addRepository(world);
});

const prepare = (sessionId: string) => prepareRegion(world, sessionId, REGION);

const callsOf = (wanted: string) => world.driver.calls.filter(({ name }) => name === wanted).length;
const turn = () => world.driver.regionTurns.get(REGION);

it("has ten sessions at once make each piece once, and tells nine of them whom they wait for", async () => {
  const ended = await Promise.all(SESSIONS.map(prepare));
  expect(ended.every(({ state }) => state === "succeeded")).toBe(true);
  expect(callsOf("execute-region-action")).toBe(new Set(world.azure.region.made).size);
  const waited: string[] = [];
  for (const sessionId of SESSIONS)
    for (const { value } of await collect(world.context.records.sessionLog(sessionId).list()))
      if (value.message.includes("another session")) waited.push(sessionId);
  expect(waited).toHaveLength(9);
  expect(turn()).toEqual(FREE_TURN);
});

it("lets another one go on when the session whose turn it is says nothing any more", async () => {
  const { driver } = world;
  driver.regionTurns.set(REGION, { holder: "dead", expiresAt: driver.now + 300_000 });
  const began = driver.now;
  expect(await prepare("region-1")).toMatchObject({ state: "succeeded" });
  expect(driver.now - began).toBeGreaterThanOrEqual(300_000);
  expect(driver.now - began).toBeLessThan(600_000);
});

it("gives the turn back when a change is refused, and the others say the same", async () => {
  const refusal = { code: "AuthorizationFailed", message: "Azure refused.", retry: "never" };
  world.sabotage = (name) =>
    name === "execute-region-action" ? { ok: false, error: refusal } : undefined;
  const ended = await Promise.all(SESSIONS.slice(0, 3).map(prepare));
  expect(ended.map(({ error }) => error?.code)).toEqual(Array(3).fill("AuthorizationFailed"));
  expect(turn()).toEqual(FREE_TURN);
});

it("asks nobody for a region that lacks nothing", async () => {
  await prepare("region-1");
  world.driver.regionTurns.clear();
  expect(await prepare("region-2")).toMatchObject({ state: "succeeded" });
  expect(turn()).toBeUndefined();
});

it("replays plans of earlier versions, which knew no turns", async () => {
  world.sabotage = async (name) => {
    if (name !== "plan-region") return undefined;
    const planned = await ACTIVITIES["plan-region"].run(world.context, { location: REGION });
    if (!planned.ok) return planned;
    const { inTurns: _absent, ...value } = planned.value;
    return { ok: true, value };
  };
  expect(await prepare("region-1")).toMatchObject({ state: "succeeded" });
  expect(turn()).toBeUndefined();
});
