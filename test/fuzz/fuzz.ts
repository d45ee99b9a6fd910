/** Runs damaged files through the whole pipeline, walls included, and sees that each ends as it should. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBench, type Bench } from '../pipeline/harness.ts';
import { findMutator, mutate, type Mutator } from './mutate.ts';
import { makeSeeds } from './seeds.ts';

export interface FuzzResult {
  mutator: Mutator;
  files: number;
  /** How many ended so: `ready`, or the code of the failure. */
  ends: Record<string, number>;
  /** Milliseconds of the slowest file, and which it was. */
  slowest: { ms: number; file: string };
  /** What must never happen, with the file and the seed that made it happen. */
  faults: string[];
}

/** Codes that say something about a file. Anything else means that we did not understand what happened. */
const CLEAR =
  /^(ready|empty_file|not_media|truncated|no_streams|unsupported_(codec|format)|too_large_picture|too_long|broken_timestamps|not_decodable|encode_(crashed|stalled|timeout)|output_too_large|out_of_memory)$/;

/** Damages and runs `count` files, the first with seed `firstSeed`. Faults are returned, not thrown. */
export async function fuzz(
  count: number,
  firstSeed: number,
  onFile: (sofar: FuzzResult) => void = () => undefined,
): Promise<FuzzResult> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-fuzz-'));
  const bench = await openBench({ LADDER: '144', STALL_TIMEOUT: '20s' });
  const mutator = await findMutator();
  const result: FuzzResult = { mutator, files: 0, ends: {}, slowest: { ms: 0, file: '' }, faults: [] };
  try {
    const seeds = await makeSeeds(dir);
    for (let n = 0; n < count; n++) {
      const seed = firstSeed + n;
      const original = seeds[seed % seeds.length]!; // so that a seed names its file too
      const path = join(dir, 'damaged');
      await writeFile(path, await mutate(mutator, original, seed));
      await runOne(bench, path, `${original.slice(dir.length + 1)} with seed ${seed}`, result);
      result.files++;
      onFile(result);
    }
    const left = await processesAt(bench.ctx.config.dataDir);
    if (left.length) result.faults.push(`processes are left: ${left.join('; ')}`);
    return result;
  } finally {
    await bench.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function runOne(bench: Bench, path: string, name: string, result: FuzzResult): Promise<void> {
  const start = Date.now();
  const fault = (what: string) => result.faults.push(`${name}: ${what}`);
  const id = await bench.upload(path);
  try {
    await drainAll(bench);
  } catch (error) {
    fault(`a step threw ${String(error)}`);
  }
  const { status, errorCode } = await bench.media(id);
  const end = status === 'failed' ? (errorCode ?? 'no code') : status;
  result.ends[end] = (result.ends[end] ?? 0) + 1;
  if (!CLEAR.test(end)) fault(`ended as ${end}`);
  for (const job of await bench.jobs(id))
    if (job.errorCode === 'internal') fault(`${job.task}: ${job.errorMessage}`);
  const left = await readdir(bench.ctx.config.encoding.scratchDir);
  if (left.length) fault(`left ${left.join(', ')} in scratch`);
  const ms = Date.now() - start;
  if (ms > result.slowest.ms) result.slowest = { ms, file: name };
}

/** With the attempts that follow a retryable failure, at once. */
async function drainAll(bench: Bench): Promise<void> {
  const { db } = bench.ctx;
  for (;;) {
    await bench.drain();
    const { numUpdatedRows } = await db
      .updateTable('job')
      .set({ runAt: 1 })
      .where('status', '=', 'queued')
      .where('attempts', '>', 0)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows === 0n) return;
  }
}

/** Command lines that name this folder. */
async function processesAt(dir: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return lines.filter((line) => line.includes(dir));
}
