/**
 * The pipeline beside FFmpeg commands written by hand: wall, CPU, memory, and how soon one can watch.
 *
 *     npm run bench:pipeline [-- --quick]      (needs FFmpeg; sources are made once, in the folder for temporary files)
 *
 * The table goes to docs/performance.md, between its markers.
 */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { startServer } from '../../test/server.ts';
import { best, naive } from './hand-written.ts';
import { take, type Intake } from './intake.ts';
import type { Usage } from './resources.ts';
import { hevc, phone, repeated } from './sources.ts';
import { scaleOut } from './workers.ts';

const quick = process.argv.includes('--quick');
const SECONDS = quick ? 12 : 60;
const GB_TIMES = quick ? 4 : 12;
const PAGE = join(import.meta.dirname, '../../docs/performance.md');
const rows: string[] = [];

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** One intake on a server of its own, which is stopped after it. Processor time inside of a sandbox can't be seen. */
async function intake(path: string, until: 'playable' | 'ready'): Promise<Intake> {
  const server = await startServer({ LOG_LEVEL: 'warn', DISK_FLOOR: '0', SANDBOX: 'off' });
  try {
    return await take(server, path, until);
  } finally {
    await server.dispose();
  }
}

function row(what: string, usage: Usage, more: { playable?: number; ratio?: string } = {}): void {
  const text = [
    what,
    usage.wall.toFixed(1),
    usage.cpu.toFixed(1),
    usage.peak.toFixed(0),
    more.playable?.toFixed(2) ?? '',
    more.ratio ?? '',
  ];
  rows.push(`| ${text.join(' | ')} |`);
  say(rows.at(-1)!);
}

const ratio = (a: number, b: number): string => `${(a / b).toFixed(2)}x`;

async function ladders(name: string, source: string): Promise<void> {
  const one = await best(source);
  row(`${name}: one FFmpeg command by hand`, one, { ratio: '1.00x' });
  const each = await naive(source);
  row(`${name}: a command for each rung, by hand`, each, { ratio: ratio(each.wall, one.wall) });
  const ours = await intake(source, 'ready');
  row(`${name}: Millrace`, ours, { playable: ours.playable, ratio: ratio(ours.wall, one.wall) });
}

say(`sources of ${SECONDS} s …`);
const copyable = await phone(SECONDS);
await ladders(`HEVC 1080p, ${SECONDS} s`, await hevc(SECONDS));
await ladders(`H.264 1080p, ${SECONDS} s`, copyable);
const large = await repeated(copyable, GB_TIMES);
const gigabytes = (await stat(large)).size / 1e9;
const copied = await intake(large, 'playable');
row(`H.264 1080p, ${gigabytes.toFixed(2)} GB, until it can be watched`, copied, {
  playable: copied.playable,
});

say('one worker, two workers …');
const workers = await scaleOut(await hevc(quick ? 120 : 300, '1280x720'));
const table = [
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}.`,
  '',
  '| what | wall s | CPU s | peak MiB | playable after s | wall, of the best command |',
  '|---|--:|--:|--:|--:|--:|',
  ...rows,
  '',
  '| workers of one thread each | wall s | times as fast |',
  '|---|--:|--:|',
  ...workers.map(
    (run) => `| ${run.workers} | ${run.wall.toFixed(1)} | ${ratio(workers[0]!.wall, run.wall)} |`,
  ),
].join('\n');
console.log(table);
if (!quick) await publish(table);

/** Puts the table between `<!-- pipeline -->` and `<!-- /pipeline -->`. */
async function publish(text: string): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  const marked = /<!-- pipeline -->[^]*<!-- \/pipeline -->/;
  if (!marked.test(page)) throw new Error(`${PAGE} has no place for the table`);
  await writeFile(
    PAGE,
    page.replace(marked, () => `<!-- pipeline -->\n\n${text}\n\n<!-- /pipeline -->`),
  );
}
