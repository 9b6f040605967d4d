/** What a repository answers to those who list and restore, for the tests of the documented answers. */
import { listVmPoints, readVmPoint, type Repository } from "#core/repository/index.ts";
import type { Scene } from "./check/check-fixture.ts";
import { failureOf, restore, signal } from "./fixtures.ts";

export const damaged = "RepositoryDamaged";

export async function listed(repository: Repository): Promise<string[]> {
  const names: string[] = [];
  for await (const { pointId } of listVmPoints(repository, undefined, signal)) names.push(pointId);
  return names.sort();
}

/** What each point answers to a restore: `whole` or a code. */
export async function restored({ repository }: Scene, ...pointIds: string[]): Promise<string[]> {
  const answers: string[] = [];
  for (const pointId of pointIds) {
    const work = async (): Promise<void> => {
      const { disks } = await readVmPoint(repository, "vm-1", pointId, signal);
      for (const { diskPoint } of disks) await restore(repository, diskPoint);
    };
    const answer = await failureOf(work());
    answers.push(answer === "no failure" ? "whole" : answer);
  }
  return answers;
}
