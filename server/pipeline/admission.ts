/**
 * Room for an attempt, taken before it starts: bytes of the scratch folder's disk, and memory. Workers of one machine
 * share the folder, and each attempt's reservation is a file beside its folder, so they see each other's.
 */
import { readFile, readdir, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { availableMemory } from '../machine/memory.ts';
import { JobPostponed } from '../jobs/job.ts';
import type { Source } from '../media/source.ts';
import type { Needs } from './footprint.ts';
import type { Step } from './step.ts';

interface Reservation extends Needs {
  name: string;
  /** Milliseconds since the epoch. */
  since: number;
}

/** FFmpeg can't write beside its folder. */
export const RESERVATION = '.reservation';
const MB = 1024 * 1024;
/** What every attempt may take: stills, text, FFmpeg itself. */
const SMALL: Needs = { bytes: 64 * MB, memory: 200 * MB };
/** A new attempt's memory is not seen in what the system calls free before this. */
const WARM_UP_MS = 20_000;
const DELAY_MS = 10_000;

/**
 * What an attempt of a step takes: something small that all take, the download of the upload where storage is remote, and
 * what the step says. Before the probe there is only its size.
 */
export function needsOf(
  { needs, fromStored }: Pick<Step, 'needs' | 'fromStored'>,
  { size, source }: { size: number; source: Source | undefined },
  encoding: Config['encoding'],
  remote: boolean,
): Needs {
  const download = remote && !fromStored ? size : 0;
  const own = (source && needs?.(source, encoding)) ?? { bytes: 0, memory: 0 };
  return { bytes: SMALL.bytes + download + own.bytes, memory: SMALL.memory + own.memory };
}

/**
 * Reserves for the attempt whose scratch folder is `name`, which exists and has `held` of these bytes already. Throws
 * `JobPostponed` when there is no room now, with what is missing. The reservation goes with the folder: see scratch.ts.
 */
export async function reserve(
  {
    scratchDir,
    scratchFloor,
    memoryFloor,
  }: Pick<Config['encoding'], 'scratchDir' | 'scratchFloor' | 'memoryFloor'>,
  name: string,
  needs: Needs,
  held = 0,
): Promise<void> {
  const own: Reservation = { ...needs, name, since: Date.now() };
  // Written before others' are read: of two that come together, at least one sees the other.
  await writeFile(join(scratchDir, name + RESERVATION), JSON.stringify(own));
  const others = (await reservations(scratchDir)).filter((other) => other.name !== name);
  const { bavail, bsize } = await statfs(scratchDir);
  const promised = await sum(others, async (r) =>
    Math.max(0, r.bytes - (await sizeOf(join(scratchDir, r.name)))),
  );
  const room = bavail * bsize - promised - scratchFloor;
  if (room < needs.bytes - held)
    throw postponed(
      'no_scratch_space',
      `It needs ${inMB(needs.bytes - held)} in SCRATCH_DIR; ${inMB(room)} can be had now.`,
    );
  if (!others.length) return; // a small machine still does one thing at a time
  const starting = others.filter(({ since }) => since > Date.now() - WARM_UP_MS);
  const free = availableMemory() - (await sum(starting, (r) => Promise.resolve(r.memory))) - memoryFloor;
  if (free < needs.memory)
    throw postponed('no_memory', `It needs ${inMB(needs.memory)} of memory; ${inMB(free)} can be had now.`);
}

const inMB = (bytes: number): string => `${Math.max(0, Math.floor(bytes / MB)).toLocaleString('en')} MB`;

function postponed(code: string, message: string): JobPostponed {
  const delayMs = Math.round(DELAY_MS * (0.5 + Math.random())); // two that saw each other don't meet again
  return new JobPostponed({ code, message: `${message} It waits for others to end.`, delayMs });
}

async function reservations(scratchDir: string): Promise<Reservation[]> {
  const files = (await readdir(scratchDir)).filter((file) => file.endsWith(RESERVATION));
  const names = files.map((file) => file.slice(0, -RESERVATION.length));
  const read = async (name: string): Promise<Reservation[]> => {
    const text = await readFile(join(scratchDir, name + RESERVATION), 'utf8').catch(gone);
    if (!text) return []; // it has just ended, or is just starting
    const { bytes, memory, since } = JSON.parse(text) as Reservation;
    return [{ bytes, memory, since, name }];
  };
  return (await Promise.all(names.map(read))).flat();
}

/** Bytes below a folder; files may vanish under the look. */
async function sizeOf(folder: string): Promise<number> {
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true }).catch(gone)) ?? [];
  const files = entries.filter((entry) => entry.isFile());
  return sum(files, async (file) => (await stat(join(file.parentPath, file.name)).catch(gone))?.size ?? 0);
}

async function sum<T>(items: readonly T[], of: (item: T) => Promise<number>): Promise<number> {
  return (await Promise.all(items.map(of))).reduce((a, b) => a + b, 0);
}

function gone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}
