/**
 * The pipeline beside FFmpeg commands written by hand: wall, CPU, memory, and how soon one can watch.
 *
 *     npm run bench:pipeline [-- --quick]      (needs FFmpeg; sources are made once, in the folder for temporary files)
 *
 * The table goes to docs/performance.md, between its markers; what each job did, and when, to standard error. Processor time
 * is what tells when the machine has other work: wall times need a quiet one.
 */
import { stat } from 'node:fs/promises';
import { startServer } from '../../test/server.ts';
import { machine, publish } from '../page.ts';
import { best, copied, naive, segmented } from './hand-written.ts';
import { take, type Intake } from './intake.ts';
import type { Usage } from './resources.ts';
import { hevc, phone, repeated } from './sources.ts';
import { watchJobs } from './timeline.ts';
import { scaleOut } from './workers.ts';

const quick = process.argv.includes('--quick');
const SECONDS = quick ? 12 : 30;
const GB_TIMES = quick ? 4 : 24;
/** Long enough to be cut into parts for several workers, small enough for one of one thread. */
const LONG = 132;
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

/** A line of the table, beside the best command where there is one. */
function row(what: string, usage: Usage & { playable?: number }, one?: Usage): void {
  const text = [
    what,
    usage.wall.toFixed(1),
    usage.cpu.toFixed(1),
    usage.peak.toFixed(0),
    usage.playable?.toFixed(2) ?? '',
    ...(one ? [ratio(usage.wall, one.wall), ratio(usage.cpu, one.cpu)] : ['', '']),
  ];
  rows.push(`| ${text.join(' | ')} |`);
  say(rows.at(-1)!);
}

const tell = (lines: string[]): void => lines.forEach(say);

const ratio = (a: number, b: number): string => `${(a / b).toFixed(2)}x`;

/** Resolves with what the best command used. */
async function ladders(name: string, source: string): Promise<Usage> {
  const one = await best(source);
  row(`${name}: one FFmpeg command by hand`, one, one);
  row(`${name}: Millrace`, await intake(source, 'ready'), one);
  return one;
}

say(`sources of ${SECONDS} s …`);
const copyable = await phone(SECONDS);
let name = `H.264 1080p, ${SECONDS} s`;
row(`${name}: a command for each rung, by hand`, await naive(copyable), await ladders(name, copyable));
name = `HEVC 1080p, ${SECONDS} s`;
const source = await hevc(SECONDS);
const one = await ladders(name, source);
row(`${name}: Millrace, PLAY_SOON=false`, await intake(source, 'ready', { PLAY_SOON: 'false' }), one);

const large = await repeated(copyable, GB_TIMES);
name = `H.264 1080p, ${((await stat(large)).size / 1e9).toFixed(2)} GB, until it can be watched`;
row(`${name}: cp, the bytes alone`, await copied(large));
const cut = await segmented(large);
row(`${name}: ffmpeg -c copy to HLS by hand`, cut, cut);
row(`${name}: Millrace, begun while it arrived`, await intake(large, 'playable'), cut);
const late = await intake(large, 'playable', { EARLY: 'false' });
row(`${name}: Millrace, EARLY=false`, late, cut);

say('one worker, two workers …');
const workers = await scaleOut(await hevc(LONG, '854x480'), tell);
const table = [
  machine(),
  '',
  '| what | wall s | CPU s | peak MiB | playable after s | wall, of the best command | CPU, of the best |',
  '|---|--:|--:|--:|--:|--:|--:|',
  ...rows,
  '',
  '| workers of one thread each | wall s | times as fast |',
  '|---|--:|--:|',
  ...workers.map(
    (run) => `| ${run.workers} | ${run.wall.toFixed(1)} | ${ratio(workers[0]!.wall, run.wall)} |`,
  ),
].join('\n');
console.log(table);
if (!quick) await publish('performance.md', 'pipeline', table);
