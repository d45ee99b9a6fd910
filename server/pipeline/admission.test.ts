import { mkdir, mkdtemp, readdir, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../config.ts';
import { JobPostponed } from '../jobs/job.ts';
import type { Source } from '../media/source.ts';
import { needsOf, reserve } from './admission.ts';
import { STEPS } from './advance.ts';
import { withScratch } from './scratch.ts';

const MB = 1024 * 1024;
const id = (n: number): string => `0190a0b0-0000-7000-8000-00000000000${n}`;

let scratchDir: string;
beforeEach(async () => (scratchDir = await mkdtemp(join(tmpdir(), 'millrace-admission-'))));
afterEach(() => rm(scratchDir, { recursive: true }));

const floors = (scratchFloor = 0, memoryFloor = 0) => ({ scratchDir, scratchFloor, memoryFloor });
const free = async (): Promise<number> => {
  const { bavail, bsize } = await statfs(scratchDir);
  return bavail * bsize;
};
const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'admitted',
    (error: unknown) => (error instanceof JobPostponed ? error.postponement.code : String(error)),
  );
/** Reserves as attempt `n` and keeps it until `during` has ended. */
const attempt = <T>(n: number, bytes: number, memory: number, config = floors(), during?: () => Promise<T>) =>
  withScratch(scratchDir, { id: id(n), attempts: 1 }, async (_folder, name) => {
    await reserve(config, name, { bytes, memory });
    return during?.();
  });

it('admits what fits, and leaves nothing behind', async () => {
  expect(await codeOf(attempt(1, MB, MB))).toBe('admitted');
  expect(await readdir(scratchDir)).toEqual([]);
});

it('keeps the floor', async () => {
  expect(await codeOf(attempt(1, MB, MB, floors(2 * (await free()))))).toBe('no_scratch_space');
  expect(await readdir(scratchDir)).toEqual([]);
});

it('counts what running attempts have reserved and not yet used', async () => {
  const most = Math.floor((await free()) * 0.7);
  await attempt(1, most, MB, floors(), async () => {
    expect(await codeOf(attempt(2, most, MB))).toBe('no_scratch_space');
    expect(await codeOf(attempt(3, MB, MB))).toBe('admitted');
  });
  expect(await codeOf(attempt(2, most, MB))).toBe('admitted');
});

it('counts what was used once', async () => {
  const half = Math.floor((await free()) / 2);
  await attempt(1, 8 * MB, MB, floors(half), async () => {
    await mkdir(join(scratchDir, `${id(1)}-1`, 'out'));
    await writeFile(join(scratchDir, `${id(1)}-1`, 'out', 'segment'), Buffer.alloc(8 * MB, 1));
    expect(await codeOf(attempt(2, Math.floor(half / 2), MB, floors(half)))).toBe('admitted');
  });
});

it('lets the second wait for memory, never the first', async () => {
  const config = floors(0, 2 ** 60);
  await attempt(1, MB, MB, config, async () => {
    expect(await codeOf(attempt(2, MB, MB, config))).toBe('no_memory');
  });
});

describe('what a step needs', () => {
  const video = { width: 1920, height: 1080, codedWidth: 1920, codedHeight: 1080, frameRate: 30 };
  const source = { size: 900 * MB, duration: 600, audio: [{}], video } as unknown as Source;
  const config = loadConfig({}).encoding;
  const needs = (name: string, { remote = false, of = source } = {}) =>
    needsOf(
      STEPS.find((step) => step.name === name)!,
      { size: of.size, source: of },
      config,
      remote,
    );
  const SMALL = needs('subtitles');

  it('is something small, when it says nothing, and before the probe', () => {
    expect(SMALL).toEqual({ bytes: 64 * MB, memory: 200 * MB });
    const [probe] = STEPS;
    expect(needsOf(probe!, { size: 7, source: undefined }, config, false)).toEqual(SMALL);
    expect(needsOf(probe!, { size: 7, source: undefined }, config, true).bytes).toBe(SMALL.bytes + 7);
  });

  it('is its renditions at their largest rates', () => {
    expect(needs('ladder').bytes).toBeGreaterThan((600 * 5_000_000) / 8);
    expect(needs('ladder').memory).toBeGreaterThan(530 * MB);
    const first = needs('first');
    expect(first.bytes).toBeLessThan(needs('ladder').bytes / 4);
    expect(first.memory).toBeLessThan(needs('ladder').memory);
    expect(needs('copy').bytes).toBeGreaterThan(900 * MB);
    expect(needs('poster').bytes).toBe(SMALL.bytes);
  });

  it('is what it fetches of stored renditions', () => {
    expect(needs('mp4').bytes).toBeGreaterThan((2 * 600 * 5_000_000) / 8);
    expect(needs('m4a').bytes - SMALL.bytes).toBe(2 * (needs('waveform').bytes - SMALL.bytes));
    expect(needs('storyboard').bytes).toBeLessThan(needs('first').bytes);
    expect(needs('storyboard').bytes).toBeGreaterThan(SMALL.bytes);
  });

  it('counts the download where storage is remote, for those that read the upload', () => {
    const downloads = (name: string) => needs(name, { remote: true }).bytes - needs(name).bytes;
    const reading = STEPS.map(({ name }) => name).filter((name) => downloads(name) === source.size);
    expect(reading).toEqual(
      expect.arrayContaining(['probe', 'copy', 'first', 'ladder', 'poster', 'subtitles']),
    );
    for (const name of ['storyboard', 'waveform', 'm4a', 'mp4']) expect(downloads(name)).toBe(0);
  });

  it('is moderate for a sound', () => {
    const { video: _, ...sound } = source;
    expect(needs('ladder', { of: sound }).bytes).toBeLessThan(SMALL.bytes + 12 * MB);
  });
});
