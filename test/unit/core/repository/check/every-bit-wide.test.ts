/** Damage in a repository with everything in it that the format knows (`wide-scene.ts`). */
import { beforeAll, expect, it } from "vitest";
import {
  cutEverywhere,
  expectSound,
  flipEverywhere,
  loseEach,
  type DamageScene,
} from "./damage-scene.ts";
import { wideScene } from "./wide-scene.ts";

/** All bytes and lengths (1) take a minute; `every-bit.test.ts` damages them in smaller repositories. */
const FLIP_STEP = 7;
const CUT_STEP = 13;

let scene: DamageScene;

beforeAll(async () => {
  scene = await wideScene();
  await expectSound(scene);
});

it("detects and names flipped bits all over every object", async () => {
  expect(await flipEverywhere(scene, FLIP_STEP)).toBeGreaterThan(1200);
});

it("detects and names truncations of every object", async () => {
  await cutEverywhere(scene, CUT_STEP);
});

it("detects and names the loss of every object", async () => {
  await loseEach(scene);
});
