/** An object that has become huge is damage like any other: it is named, and never read into memory. */
import { beforeAll, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { openRepository } from "#core/repository/index.ts";
import { MAX_ENVELOPE_BYTES } from "#core/repository/format/layout.ts";
import { signal } from "../fixtures.ts";
import { check } from "./check-fixture.ts";
import type { DamageScene } from "./damage-scene.ts";
import { wideScene } from "./wide-scene.ts";

const HUGE = new Uint8Array(MAX_ENVELOPE_BYTES + 1);

let scene: DamageScene;

beforeAll(async () => {
  scene = await wideScene();
});

async function outcomeOf(name: string): Promise<unknown> {
  const { store, secret } = scene;
  try {
    const isOpenedAgain = name === "repo.json" || name.startsWith("keys/");
    const opened = isOpenedAgain ? await openRepository(store, secret, signal) : scene.repository;
    await scene.restore(opened, name);
    return "whole";
  } catch (error) {
    return error;
  }
}

it("names each object that is larger than the format allows, and reads none of them", async () => {
  const { store, repository } = scene;
  const names = [...store.objects.keys()].filter((name) => /\.(?:manifest|json)$/.test(name));
  expect(names.length).toBeGreaterThan(12);
  const read = store.read.bind(store);
  let mostBytes = 0;
  store.read = async (...call) => {
    const bytes = await read(...call);
    mostBytes = Math.max(mostBytes, bytes.length);
    return bytes;
  };
  for (const name of names) {
    const object = store.objects.get(name);
    if (object === undefined) throw new Error(`no object ${name}`);
    store.objects.set(name, { ...object, bytes: HUGE });
    const { findings } = await check(repository);
    expect(
      findings.map((finding) => finding.object),
      name,
    ).toContain(name);
    const outcome = await outcomeOf(name);
    const isNeeded = !/\/attempts\/|\/garbage\/|^quarantine\//.test(name);
    if (isNeeded) expect(outcome, name).toBeInstanceOf(HoldfastError);
    else expect(outcome, name).toBe("whole");
    store.objects.set(name, object);
  }
  expect(mostBytes).toBeLessThan(1024 * 1024);
});
