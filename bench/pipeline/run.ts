/**
 * The pipeline beside FFmpeg commands written by hand: wall, CPU, memory, and how soon one can watch.
 *
 *     npm run bench:pipeline [-- --quick] [-- --only h264|hevc|intake|workers] [-- --rounds N]
 *
 * (needs FFmpeg; sources are made once, in the folder for temporary files)
 *
 * The table goes to docs/performance.md, between its markers; what each job did, and when, to standard error. Processor time
 * is what tells when the machine has other work: wall times need a quiet one.
 */
import { stat } from 'node:fs/promises';
import { startServer } from '../../test/server.ts';
import { machine, publish } from '../page.ts';
import { best, copied, lowestFirst, naive, segmented, twoStretches } from './hand-written.ts';
import { take, type Intake } from './intake.ts';
import { median } from '../uploads/measure.ts';
import type { Usage } from './resources.ts';
import { hevc, phone, repeated } from './sources.ts';
import { watchJobs } from './timeline.ts';
import { runOn } from './workers.ts';

const quick = process.argv.includes('--quick');
const option = (name: string): string | undefined =>
  process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined;
const only = option('--only');
const SECONDS = quick ? 12 : 40;
const ROUNDS = Number(option('--rounds') ?? (quick ? 1 : 3));
const GB_TIMES = quick ? 4 : 18;
/** Long, as what is cut into parts for several workers is, and small enough for one of one thread. */
const LONG = { seconds: quick ? 120 : 600, size: '640x360' };
const rows: string[] = [];

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** One intake on a server of its own, which is stopped after it. */
async function intake(
  path: string,
  until: 'playable' | 'ready',
  env: Record<string, string> = {},
): Promise<Intake> {
  const timeline = await watchJobs();
  const server = await startServer({ LOG_LEVEL: 'warn', DISK_FLOOR: '0', ...timeline.env, ...env });
  try {
    const taken = await take(server, path, until);
    tell(await timeline.of(server, taken.mediaId));
    return taken;
  } finally {
    await server.dispose();
    await timeline.dispose();
  }
}

interface Used extends Usage {
  /** Seconds until it could be watched. */
  playable?: number;
}

type Line = [what: string, run: () => Promise<Used>];

/**
 * Runs all lines `rounds` times in turns, each round beginning with another one: a virtual machine is faster or slower from one
 * minute to the next. Told are the middle ones, and of each round's ratios to the first line the middle one.
 */
async function compare(rounds: number, lines: Line[]): Promise<void> {
  const used: Used[][] = lines.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (let turn = 0; turn < lines.length; turn++) {
      const n = (round + turn) % lines.length;
      const [what, run] = lines[n]!;
      used[n]![round] = await run();
      say(`${what}: ${used[n]![round]!.wall.toFixed(1)} s, CPU ${used[n]![round]!.cpu.toFixed(1)} s`);
    }
  for (const [n, [what]] of lines.entries()) {
    const all = used[n]!;
    const of = (pick: (one: Used) => number): number => median(all.map(pick));
    const toFirst = (key: 'wall' | 'cpu'): string => {
      const ratios = all.map((one, round) => one[key] / used[0]![round]![key]).sort((a, b) => a - b);
      const range = n && rounds > 1 ? ` (${ratios[0]!.toFixed(2)}–${ratios.at(-1)!.toFixed(2)})` : '';
      return `${median(ratios).toFixed(2)}x${range}`;
    };
    const playable = all[0]?.playable === undefined ? '' : of((one) => one.playable!).toFixed(2);
    const figures = [of((one) => one.wall).toFixed(1), of((one) => one.cpu).toFixed(1)];
    const peak = Math.max(...all.map((one) => one.peak)).toFixed(0);
    rows.push(`| ${[what, ...figures, peak, playable, toFirst('wall'), toFirst('cpu')].join(' | ')} |`);
    say(rows.at(-1)!);
  }
}

const tell = (lines: string[]): void => lines.forEach(say);

async function ladderOfH264(): Promise<void> {
  const copyable = await phone(SECONDS);
  const name = `H.264 1080p, ${SECONDS} s`;
  await compare(ROUNDS, [
    [`${name}: one FFmpeg command by hand`, () => best(copyable)],
    [`${name}: Millrace`, () => intake(copyable, 'ready')],
    [`${name}: a command for each rung, by hand`, () => naive(copyable)],
  ]);
}

async function ladderOfHevc(): Promise<void> {
  const source = await hevc(SECONDS);
  const name = `HEVC 1080p, ${SECONDS} s`;
  await compare(ROUNDS, [
    [`${name}: one FFmpeg command by hand`, () => best(source)],
    [`${name}: Millrace, PLAY_SOON=false`, () => intake(source, 'ready', { PLAY_SOON: 'false' })],
    [`${name}: the lowest rung by a command, then the others by another, by hand`, () => lowestFirst(source)],
    [`${name}: Millrace, the lowest rung first`, () => intake(source, 'ready')],
    [`${name}: a command for each rung, by hand`, () => naive(source)],
  ]);
}

async function untilPlayable(): Promise<void> {
  const large = await repeated(await phone(SECONDS), GB_TIMES);
  const name = `H.264 1080p, ${((await stat(large)).size / 1e9).toFixed(2)} GB, until it can be watched`;
  await compare(ROUNDS, [
    [`${name}: ffmpeg -c copy to HLS by hand`, () => segmented(large)],
    [`${name}: cp, the bytes alone`, () => copied(large)],
    [`${name}: Millrace, begun while it arrived`, () => intake(large, 'playable')],
    [`${name}: Millrace, EARLY=false`, () => intake(large, 'playable', { EARLY: 'false' })],
  ]);
}

/**
 * Rows of the table of one worker and two, beside what the machine allows. Who is first changes by turns: then it is in no one's
 * favour when the machine gets slower.
 */
async function workers(): Promise<string[]> {
  const long = await hevc(LONG.seconds, LONG.size);
  const stretch = { starts: [0, LONG.seconds / 2] as [number, number], seconds: LONG.seconds / 8 };
  const table: [what: string, alone: number[], both: number[]][] = [
    ['Millrace, workers of one thread', [], []],
    ['FFmpeg alone, one thread each, of an eighth of it twice', [], []],
  ];
  for (let round = 0; round < ROUNDS; round++)
    for (const count of round % 2 ? ([2, 1] as const) : ([1, 2] as const)) {
      const walls = [
        await runOn(count, long, tell),
        await twoStretches(long, { ...stretch, atOnce: count === 2 }),
      ];
      for (const [n, wall] of walls.entries()) table[n]![count].push(wall);
      say(`${count} at once: ${walls.map((wall) => `${wall.toFixed(1)} s`).join(', FFmpeg alone ')}`);
    }
  const mean = (walls: number[]): number => walls.reduce((sum, wall) => sum + wall, 0) / walls.length;
  return table.map(([what, alone, both]) => {
    const times = mean(alone) / mean(both);
    return `| ${what} | ${mean(alone).toFixed(1)} | ${mean(both).toFixed(1)} | ${times.toFixed(2)}x |`;
  });
}

const isWanted = (part: string): boolean => !only || only === part;
if (isWanted('h264')) await ladderOfH264();
if (isWanted('hevc')) await ladderOfHevc();
if (isWanted('intake')) await untilPlayable();
const scaled = isWanted('workers') ? await workers() : [];
const table = [
  machine(),
  '',
  '| what | wall s | CPU s | peak MiB | playable after s | wall, of the first of its kind | CPU, of the first |',
  '|---|--:|--:|--:|--:|--:|--:|',
  ...rows,
  '',
  '| HEVC 360p, 10 minutes | one, wall s | two at once, wall s | times as fast |',
  '|---|--:|--:|--:|',
  ...scaled,
].join('\n');
console.log(table);
if (!quick && !only) await publish('performance.md', 'pipeline', table);
