/** HEVC and AV1 of a long source: parts that workers share, joined without a seam, of which none is lost by a stop. */
import { execa } from 'execa';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { transact } from '../../db/transaction.ts';
import { cancelOne, retryOne } from '../../server/http/retry.ts';
import { succeed } from '../../server/jobs/attempt.ts';
import { JobPostponed } from '../../server/jobs/job.ts';
import { claim, release } from '../../server/jobs/queue.ts';
import { hlsOutputs, segmentsOf } from '../../server/media/growing.ts';
import { DROP_SOURCE } from '../../server/pipeline/index.ts';
import { sourceKey } from '../../server/storage/storage.ts';
import { createTasks } from '../../server/tasks.ts';
import { makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls, type Track } from './hls-rules.ts';

/** Parts from 0, 2, 12 and 18 s. 29.97 frames a second fall on no whole second, and key frames of the source are rare. */
const FRAMES = 750;
const PARTS = 3; // after the first
const FILM = [
  ...['-f', 'lavfi', '-i', 'testsrc2=size=176x100:rate=30000/1001:duration=25'],
  ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=25'],
  ...['-c:v', 'mpeg4', '-bf', '2', '-g', '100', '-c:a', 'aac'],
];
const NAMES = ['v100', 'v100-hevc', 'v100-av1'];
const OURS = ['probe', 'copy', 'first', 'ladder', 'chunk', 'join', 'poster', 'subtitles'];

let bench: Bench;
let film: string;
beforeAll(async () => {
  const fast = { X265_PRESET: 'ultrafast', SVTAV1_PRESET: '12', STORYBOARD: 'off' };
  const parts = { CHUNK_SECONDS: '12', CODECS: 'h264,hevc,av1' };
  bench = await openBench({ ...fast, ...parts, LADDER: '100' });
  film = await makeMedia('film.mp4', FILM);
});
afterAll(async () => {
  await bench?.close();
  if (film) await rm(dirname(film), { recursive: true });
});

const jobsOf = async (id: string, task: string) => (await bench.jobs(id)).filter((job) => job.task === task);
const statusesOf = async (id: string, task: string) => (await jobsOf(id, task)).map(({ status }) => status);
const kindsOf = async (id: string): Promise<string[]> => (await bench.outputs(id)).map(({ kind }) => kind);

/** A media that is ready, and nothing of it made in the background. */
async function ready(): Promise<string> {
  const id = await bench.upload(film);
  await bench.drain(...OURS);
  expect((await bench.media(id)).status).toBe('ready');
  return id;
}

/** Decodes each segment by itself: what comes of it, and what the decoder complains of. */
async function decodedAlone({ name, playlist }: Track, root: string): Promise<number> {
  const alone = join(root, name, 'alone.m3u8');
  const count = ['-count_frames', '-show_entries', 'stream=nb_read_frames', '-of', 'csv=p=0'];
  let frames = 0;
  for (const { uri, map } of playlist.segments) {
    const lines = ['#EXTM3U', '#EXT-X-TARGETDURATION:7', `#EXT-X-MAP:URI="${map.uri}"`, '#EXTINF:6,', uri];
    await writeFile(alone, [...lines, '#EXT-X-ENDLIST', ''].join('\n'));
    const { stdout, stderr } = await execa('ffprobe', ['-v', 'error', ...count, alone]);
    expect([name, uri, stderr]).toEqual([name, uri, '']);
    frames += parseInt(stdout);
  }
  return frames;
}

it('have the pictures, key frames, times and cuts of the ladder, with no seam between parts', async () => {
  const id = await ready();
  expect(await statusesOf(id, 'hevc')).toEqual(['queued']);
  await bench.drain('hevc', 'av1');
  for (const codec of ['hevc', 'av1'])
    expect(await statusesOf(id, `${codec}-chunk`)).toEqual(Array(PARTS).fill('queued'));
  expect(await kindsOf(id)).toEqual(expect.arrayContaining(['ladder', 'hevc', 'av1'])); // opened: nobody sees them
  expect((await bench.stream(id)).details.variants.map(({ name }) => name)).toEqual(['v100']);

  // Two workers at once.
  const background = ['hevc-chunk', 'hevc-join', 'av1-chunk', 'av1-join'];
  await Promise.all([bench.drain(...background), bench.drain(...background)]);
  for (const task of background)
    expect([task, ...new Set(await statusesOf(id, task))]).toEqual([task, 'succeeded']);
  expect(await jobsOf(id, 'hevc-join')).toHaveLength(1);
  expect((await bench.media(id)).status).toBe('ready');

  const { root, originOf } = await bench.stream(id);
  const { broken, video } = await checkHls(root, originOf);
  expect(broken).toEqual([]);
  const trackOf = (name: string): Track => video.find((track) => track.name.split('/').includes(name))!;
  expect(video).toHaveLength(NAMES.length);
  for (const name of NAMES) {
    const track = trackOf(name);
    const rung = trackOf(name.replace(/-.*/, ''));
    const timesOf = ({ packets }: Track) => packets.map(({ pts, key }) => [pts, key]).sort();
    expect([name, track.packets.length]).toEqual([name, FRAMES]);
    expect([name, timesOf(track)]).toEqual([name, timesOf(rung)]);
    const cutsOf = ({ playlist }: Track) => playlist.segments.map(({ duration }) => duration);
    expect([name, cutsOf(track)]).toEqual([name, cutsOf(rung)]);
    expect([name, await decodedAlone(track, root)]).toEqual([name, FRAMES]);
  }
});

it('go on with what is missing when one part was cancelled and is wanted again', async () => {
  const { db, config } = bench.ctx;
  const id = await ready();
  await bench.runTo('hevc-chunk');
  const [done, next] = await jobsOf(id, 'hevc-chunk');
  expect([done!.status, next!.status]).toEqual(['succeeded', 'queued']);
  const [output] = (await hlsOutputs(db, id, { opening: true })).filter(({ kind }) => kind === 'hevc');
  const before = await segmentsOf(db, output!.id, 'v100-hevc');
  expect(before.length).toBeGreaterThan(1);

  await transact(db, (trx) => cancelOne(trx, next!, config));
  expect(await statusesOf(id, 'hevc-chunk')).toEqual([
    'succeeded',
    ...Array<string>(PARTS - 1).fill('cancelled'),
  ]);
  await bench.drain();
  expect((await bench.media(id)).status).toBe('ready');
  const shown = (await bench.stream(id)).details.variants.map(({ name }) => name);
  expect(shown).toEqual(expect.arrayContaining(['v100', 'v100-av1']));
  expect(shown).not.toContain('v100-hevc');

  const last = (await jobsOf(id, 'hevc-chunk')).at(-1);
  await transact(db, (trx) => retryOne(trx, last!, config));
  expect(await statusesOf(id, 'hevc-chunk')).toEqual([
    'succeeded',
    ...Array<string>(PARTS - 1).fill('queued'),
  ]);
  await bench.drain();
  expect((await jobsOf(id, 'hevc-chunk'))[0]).toEqual(done);
  const { root, originOf, details } = await bench.stream(id);
  expect(details.variants.map(({ name }) => name)).toContain('v100-hevc');
  expect((await checkHls(root, originOf)).broken).toEqual([]);
  for (const { uri } of before)
    expect(await bench.storage.stat(`${output!.prefix}v100-hevc/${uri}`)).toBeDefined();
});

it('keep the source until the last has ended; what can not become whole goes with it', async () => {
  const { db, config } = bench.ctx;
  config.encoding.keepSourceMs = 0;
  const id = await ready();
  await bench.drain('hevc', 'av1');
  const tasks = createTasks(bench.ctx, { discard: () => Promise.resolve() });
  const dropSource = async (): Promise<void> => {
    await db.updateTable('job').set({ runAt: 0, delayed: 0 }).where('task', '=', DROP_SOURCE).execute();
    const job = await claim(db, { worker: 'w', tasks: [DROP_SOURCE], leaseMs: 60_000 });
    expect(job?.mediaId).toBe(id);
    const { signal } = new AbortController();
    const checkpoint = () => Promise.reject(new Error('it has nothing to commit before its end'));
    const context = { signal, checkpoint, logger: bench.ctx.logger, progress: () => undefined };
    await tasks[DROP_SOURCE]!({ job: job!, ...context }).then(
      (commit) => succeed(db, job!, commit),
      (error: unknown) => {
        if (!(error instanceof JobPostponed)) throw error;
        return release(db, job!, error.postponement);
      },
    );
  };
  const [queued] = await jobsOf(id, 'av1-chunk');
  await bench.drain('hevc-chunk', 'hevc-join');
  await dropSource();
  expect(await bench.storage.stat(sourceKey(id))).toBeDefined();

  const opened = (await bench.outputs(id)).find(({ kind }) => kind === 'av1')!;
  expect(await bench.storage.stat(`${opened.prefix}v100-av1/init.mp4`)).toBeDefined();
  await transact(db, (trx) => cancelOne(trx, queued!, config));
  await dropSource();
  expect(await bench.storage.stat(sourceKey(id))).toBeUndefined();
  expect(await bench.storage.stat(`${opened.prefix}v100-av1/init.mp4`)).toBeUndefined();
  expect((await kindsOf(id)).sort()).toEqual(['hevc', 'ladder', 'poster']);
  const [cancelled] = await jobsOf(id, 'av1-chunk');
  const again = transact(db, (trx) => retryOne(trx, cancelled!, config));
  await expect(again).rejects.toMatchObject({ status: 409, code: 'not_needed' });
});
