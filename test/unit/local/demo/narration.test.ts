import { expect, test } from "vitest";
import { Narration } from "#local/demo/narration.ts";

function narrate(isTerminal: boolean) {
  const written: string[] = [];
  const clock = { nowMs: 0 };
  const write = (text: string) => void written.push(text);
  const nowMs = () => clock.nowMs;
  return { written, clock, narration: new Narration({ isTerminal, columns: 20, write, nowMs }) };
}

test("a terminal sees one line of progress that is replaced and cut to its width", () => {
  const { written, narration } = narrate(true);
  narration.progress("10 %");
  narration.progress("10 %");
  narration.progress("a line that is wider than the terminal");
  narration.say("done");
  expect(written).toEqual([
    "\r\u001b[2K10 %",
    "\r\u001b[2Ka line that is wide",
    "\r\u001b[2K",
    "done\n",
  ]);
});

test("without a terminal progress is whole lines, and not one for each change", () => {
  const { written, clock, narration } = narrate(false);
  for (let share = 0; share < 10; share++) {
    narration.progress(`${share} %`);
    clock.nowMs += 1000;
  }
  narration.say("done");
  expect(written).toEqual(["0 %\n", "3 %\n", "6 %\n", "9 %\n", "done\n"]);
});

test("without a terminal a wait is one line, and another one when it is long", () => {
  const { written, clock, narration } = narrate(false);
  for (let second = 0; second < 20; second++) {
    narration.waiting(`${second} s`);
    clock.nowMs += 1000;
  }
  expect(written).toEqual(["0 s\n", "15 s\n"]);
});

test("a step's first line of progress is printed at once", async () => {
  const { written, narration } = narrate(false);
  narration.progress("first step");
  await narration.step("Second", async () => narration.progress("second step"));
  expect(written).toEqual(["first step\n", "\nSecond\n", "second step\n", "  done in 0.0 s\n"]);
});

test("a step is announced, timed, and passes its failure on", async () => {
  const { written, clock, narration } = narrate(false);
  const work = async () => (clock.nowMs += 1500);
  expect(await narration.step("Working", work)).toBe(1500);
  expect(written).toEqual(["\nWorking\n", "  done in 1.5 s\n"]);
  const failing = narration.step("Failing", async () => Promise.reject(new Error("no")));
  await expect(failing).rejects.toThrow("no");
  expect(written.at(-1)).toBe("\nFailing\n");
});
