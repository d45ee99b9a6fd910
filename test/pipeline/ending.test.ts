/** However a run must end, FFmpeg ends with it. */
import { execa } from 'execa';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { loadConfig } from '../../server/config.ts';
import { createFfmpeg, type FfmpegRun } from '../../server/pipeline/ffmpeg/ffmpeg.ts';
import { spawnTool, ToolError } from '../../server/pipeline/ffmpeg/spawn.ts';
import { makeClip, makeMedia } from '../media.ts';
import { processesWith } from '../processes.ts';
import { openBench } from './harness.ts';

let dir: string;
let clip: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-ending-'));
  clip = await makeClip(2);
});
afterAll(async () => {
  await rm(dir, { recursive: true });
  await rm(join(clip, '..'), { recursive: true });
});

/** A run that would take hours: the clip in an endless loop, at the speed of life. */
const endless = (marker: string): FfmpegRun => ({
  ...{ source: clip, scratch: dir, wallMs: 60_000, inputOptions: ['-stream_loop', '-1', '-re'] },
  outputs: [{ options: ['-c', 'copy', '-f', 'matroska', '-metadata', `title=${marker}`], path: 'out.mkv' }],
});

/** Waits for what the kernel does in its own time after a kill; gives up in the end. */
async function allGone(marker: string): Promise<number[]> {
  const end = Date.now() + 30_000;
  let left = await processesWith(marker);
  while (left.length && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    left = await processesWith(marker);
  }
  return left;
}

describe.each(['off', 'auto'] as const)('sandbox %s', (sandbox) => {
  const encoding = { ...loadConfig({}).encoding, sandbox };
  const ffmpeg = createFfmpeg(encoding);
  const endOf = (run: Promise<unknown>): Promise<unknown> =>
    run.then(
      () => 'success',
      (error: unknown) => (error instanceof ToolError ? error.end : error),
    );

  it('is ended by an abort, at once and with all its processes', async () => {
    const stop = new AbortController();
    const marker = `abort-${sandbox}`;
    let running = 0;
    const run = ffmpeg.encode({
      ...endless(marker),
      signal: stop.signal,
      onProgress: () => {
        void processesWith(marker).then((found) => {
          running = Math.max(running, found.length);
          stop.abort('cancelled');
        });
      },
    });
    expect(await endOf(run)).toBe('aborted');
    expect(running).toBeGreaterThan(0);
    expect(await allGone(marker)).toEqual([]);
  });

  it('is ended when its time is over', async () => {
    expect(await endOf(ffmpeg.encode({ ...endless(`wall-${sandbox}`), wallMs: 700 }))).toBe('timeout');
    expect(await allGone(`wall-${sandbox}`)).toEqual([]);
  });

  it('reports progress', async () => {
    const seen: (number | undefined)[] = [];
    const options = ['-c', 'copy', '-f', 'matroska'];
    await ffmpeg.encode({
      ...{ source: clip, scratch: dir, wallMs: 60_000, outputs: [{ options, path: 'out.mkv' }] },
      onProgress: ({ seconds }) => seen.push(seconds),
    });
    expect(seen.at(-1)).toBeGreaterThan(1.8);
    expect(seen.at(-1)).toBeLessThan(2.1);
  });

  it('keeps the exit status and the log of a failure', async () => {
    const failing = ffmpeg.encode({
      ...{
        source: clip,
        scratch: dir,
        wallMs: 60_000,
        outputs: [{ options: ['-map', '0:7'], path: 'x.mkv' }],
      },
    });
    const error = await failing.catch((e: unknown) => e);
    expect(error).toMatchObject({ end: 'exit', exitStatus: expect.stringMatching(/^exit [1-9]/) as string });
    expect((error as ToolError).log).toMatch(/matches no streams/);
  });

  it('says so when there is no FFmpeg', async () => {
    const none = createFfmpeg({ ...encoding, ffmpegPath: '/nowhere/ffmpeg' });
    expect(await endOf(none.encode(endless('none')))).toBe('missing');
  });

  it('gives nothing of our environment to FFmpeg', async () => {
    process.env['S3_SECRET_KEY'] = 'do-not-tell';
    const marker = `env-${sandbox}`;
    const stop = new AbortController();
    let environment = '';
    const run = ffmpeg.encode({
      ...endless(marker),
      signal: stop.signal,
      onProgress: () => {
        void processesWith(marker).then(async (found) => {
          for (const pid of found)
            environment += await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
          stop.abort();
        });
      },
    });
    await endOf(run);
    delete process.env['S3_SECRET_KEY'];
    expect(environment).toContain('PATH=');
    expect(environment).not.toContain('do-not-tell');
  });

  it('dies with a server that is killed', async () => {
    const marker = `orphan-${sandbox}`;
    const script = `
      import { loadConfig } from './server/config.ts';
      import { createFfmpeg } from './server/pipeline/ffmpeg/ffmpeg.ts';
      const ffmpeg = createFfmpeg({ ...loadConfig({}).encoding, sandbox: '${sandbox}' });
      await ffmpeg.encode({ ...${JSON.stringify(endless(marker))}, onProgress: () => console.log('running') });`;
    const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
    const child = execa(process.execPath, args, { reject: false, buffer: false, env: { NODE_OPTIONS: '' } });
    for await (const line of createInterface({ input: child.stdout })) if (line === 'running') break;
    // The script's own command line has the marker too.
    const encoders = (await processesWith(marker)).filter((pid) => pid !== child.pid);
    expect(encoders.length).toBeGreaterThan(0);
    child.kill('SIGKILL');
    await child;
    expect(await allGone(marker)).toEqual([]);
  });
});

describe('the watchdog', () => {
  const command = (script: string) => ({
    ...{ file: 'sh', args: ['-c', script], cwd: undefined, source: '', nice: 0 },
  });
  const print = (lines: string[]) => lines.map((line) => `echo "${line}" >&3`).join('; ');
  it.each([
    ['repeats itself', ['frame=7']],
    ['writes frames and bytes, but at one point of time', ['frame=$i', 'total_size=$i', 'out_time_us=40000']],
    ['has no time, and always the same frame', ['frame=7', 'total_size=$i', 'out_time_us=N/A']],
  ])('ends a run that %s', async (_, lines) => {
    const script = `i=0; while :; do i=$((i+1)); ${print(lines)}; sleep 0.05; done`;
    const run = spawnTool(command(script), { wallMs: 60_000, stallMs: 200 });
    await expect(run).rejects.toMatchObject({ end: 'stalled', exitStatus: 'SIGKILL' });
  });
  it.each([
    ['frames where there is no time', ['frame=$i', 'out_time_us=N/A']],
    ['time', ['frame=7', 'out_time_us=$i']],
  ])('lets a run live that goes on by %s', async (_, lines) => {
    const script = `for i in 1 2 3 4 5 6; do ${print(lines)}; sleep 0.5; done; echo done`;
    const ended = await spawnTool(command(script), { wallMs: 60_000, stallMs: 2_000 });
    expect(ended).toEqual({ stdout: 'done', log: '' });
  });
  it('ends no run that waits for its input, but one that does nothing with it', async () => {
    const limits = { wallMs: 60_000, stallMs: 2_000 };
    const late = async function* (): AsyncGenerator<Buffer> {
      await sleep(3_000);
      yield Buffer.from('late');
    };
    expect(await spawnTool(command('cat'), { ...limits, stdin: late() })).toMatchObject({ stdout: 'late' });
    const idle = spawnTool(command('sleep 60'), { ...limits, stdin: late() });
    await expect(idle).rejects.toMatchObject({ end: 'stalled' });
  });
  it('ends a run that writes more than can be', async () => {
    for (const line of ['frame=$i', 'out_time_us=${i}000000']) {
      const flood = `i=0; while :; do i=$((i+1)); echo ${line} >&3; done`;
      const most = { frames: 1_000, seconds: 1_000 };
      const run = spawnTool(command(flood), { wallMs: 20_000, stallMs: 10_000, most });
      await expect(run).rejects.toMatchObject({ end: 'flooded' });
    }
    const late = spawnTool(command('echo frame=8 >&3'), { wallMs: 20_000, most: { frames: 7, seconds: 1 } });
    await expect(late).rejects.toMatchObject({ end: 'flooded' });
  });
  it('ends a run that says too much', async () => {
    const run = spawnTool(command('yes a line of some length, as programs write it when they never stop'), {
      wallMs: 20_000,
    });
    await expect(run).rejects.toMatchObject({ end: 'overflow' });
  });
  it('does not start what is aborted already', async () => {
    await expect(spawnTool(command('true'), { wallMs: 1000, signal: AbortSignal.abort() })).rejects.toThrow();
  });
});

describe('an FFmpeg that does nothing', () => {
  it('is ended in every step that it stands still in, also where a single picture is waited for', async () => {
    const path = join(dir, 'ffmpeg');
    await writeFile(path, '#!/bin/bash\nexec sleep 1000\n');
    for (const each of [dir, path]) await chmod(each, 0o755);
    // The poster waits for a picture that is copied, and for the first seconds of one that is encoded.
    const other = await makeMedia('other.mkv', ['-i', clip, '-c:v', 'mpeg4', '-c:a', 'copy']);
    const bench = await openBench({ FFMPEG_PATH: path, SANDBOX: 'off', STALL_TIMEOUT: '1s' });
    try {
      const ids = [await bench.upload(clip), await bench.upload(other)];
      await bench.drain('probe', 'copy');
      await bench.ctx.db.updateTable('job').set({ delayed: 0 }).where('task', '=', 'poster').execute();
      await bench.drain();
      const ends = async (id: string): Promise<unknown> =>
        (await bench.jobs(id)).map(({ task, errorCode }) => [task, errorCode]).sort();
      expect(await Promise.all(ids.map(ends))).toEqual([
        [
          ['copy', 'encode_stalled'],
          ['probe', null],
        ],
        [
          ['ladder', 'encode_stalled'],
          ['poster', 'encode_stalled'],
          ['probe', null],
        ],
      ]);
    } finally {
      await bench.close();
      await rm(join(other, '..'), { recursive: true });
    }
  }, 120_000);
});
