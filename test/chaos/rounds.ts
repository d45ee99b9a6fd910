/** Plays rounds on each combination of storage, database and servers. */
import { randomBytes } from 'node:crypto';
import { planRound, POOL } from './plan.ts';
import { playRound } from './round.ts';
import { openStage, type StageOptions } from './stage.ts';
import { newTally, type Tally } from './tally.ts';

export type Combination = Pick<StageOptions, 'storage' | 'database' | 'servers'>;

export interface Wanted {
  seed: number;
  /** On each combination. */
  rounds: number;
  minutes?: number | undefined;
  maxSize?: number | undefined;
  /** Just this round of the run. */
  only?: number | undefined;
  say(line: string): void;
}

export async function playAll(combinations: Combination[], wanted: Wanted): Promise<Record<string, Tally>> {
  const tallies: Record<string, Tally> = {};
  for (const combination of combinations) {
    const { storage, servers, database } = combination;
    const name = `${storage}, ${servers === 1 ? 'one server' : `${servers} servers`}, ${database}`;
    tallies[name] = await playCombination(name, combination, wanted);
  }
  return tallies;
}

async function playCombination(name: string, combination: Combination, wanted: Wanted): Promise<Tally> {
  const tally = newTally();
  const pool = randomBytes(POOL);
  const since = Date.now();
  const isOver = (): boolean => Date.now() - since > (wanted.minutes ?? Infinity) * 60_000;
  const { maxSize } = wanted;
  const stage = await openStage({ ...combination, ...(maxSize === undefined ? {} : { maxSize }) });
  try {
    for (let round = 0; round < wanted.rounds && !isOver(); round++) {
      if (wanted.only !== undefined && wanted.only !== round) continue;
      const known = tally.complaints.length;
      const began = Date.now();
      const plan = planRound(wanted.seed, round, stage.can);
      await playRound(stage, plan, { pool, seed: wanted.seed + round * 1000, tally });
      const seconds = ((Date.now() - began) / 1000).toFixed(1);
      if (tally.complaints.length > known || round % 10 === 0)
        wanted.say(`${name}: round ${round}, ${plan.uploads.length} uploads, ${seconds} s`);
      for (const complaint of tally.complaints.slice(known)) wanted.say(`  ! ${complaint}`);
      if (tally.complaints.length > known)
        for (const { output } of stage.servers) wanted.say(lastLines(output()));
    }
    const left = await stage.sweepOut();
    tally.leftBehind = left.length;
    for (const what of left) wanted.say(`  ! left behind: ${what}`);
  } finally {
    await stage.close();
  }
  wanted.say(`${name}: ${tally.rounds} rounds in ${((Date.now() - since) / 1000).toFixed(0)} s`);
  return tally;
}

const lastLines = (output: string): string => output.split('\n').slice(-25).join('\n');
