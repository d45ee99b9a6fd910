/** HEVC and AV1 beside H.264: they come when a media is ready, and players can change between the codecs. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { transact } from '../../db/transaction.ts';
import { cancelOne, retryOne } from '../../server/http/retry.ts';
import { multivariantOf } from '../../server/http/playlists.ts';
import type { Source } from '../../server/media/source.ts';
import { rungsAs } from '../../server/pipeline/encode/encoders.ts';
import { rungsOf } from '../../server/pipeline/encode/ladder.ts';
import { refuseMissingEncoders } from '../../server/pipeline/index.ts';
import { decodeErrors, makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';
import { checkHls } from './hls-rules.ts';

/** Segments of 2, 2, 2 and 1.5 s, none of which has a whole number of frames. */
const FRAMES = 225;
const FILM = [
  ...['-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=30000/1001:duration=7.507'],
  ...['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=7.507'],
  ...['-c:v', 'mpeg4', '-c:a', 'aac'],
];
const FAST = { LADDER: '240,144', STORYBOARD: 'off', X265_PRESET: 'ultrafast', SVTAV1_PRESET: '12' };

let bench: Bench;
let film: string;
beforeAll(async () => {
  bench = await openBench({ ...FAST, CODECS: 'h264,hevc,av1' });
  film = await makeMedia('film.mp4', FILM);
});
afterAll(async () => {
  await bench.close();
  await rm(dirname(film), { recursive: true });
});

const codecsIn = (playlist: string): string[] => [
  ...new Set([...playlist.matchAll(/^#EXT-X-STREAM-INF.*CODECS="(\w+)/gm)].map(([, codec = '']) => codec)),
];
const statusOf = async (id: string): Promise<string> => (await bench.media(id)).status;
const jobOf = async (id: string, task: string) => (await bench.jobs(id)).find((job) => job.task === task)!;

it('are added to a media that is ready, alike in all but the codec', async () => {
  const id = await bench.upload(film);
  await bench.drain('probe', 'copy', 'first', 'ladder', 'chunk', 'join', 'poster', 'subtitles');
  expect(await statusOf(id)).toBe('ready');
  expect(codecsIn((await multivariantOf(bench.ctx.db, id))!.text)).toEqual(['avc1', 'mp4a']);
  expect([(await jobOf(id, 'hevc')).status, (await jobOf(id, 'av1')).status]).toEqual(['queued', 'queued']);

  await bench.drain();
  expect(await statusOf(id)).toBe('ready');
  const { text } = (await multivariantOf(bench.ctx.db, id))!;
  // H.264 first: players that look no further take what they can play.
  expect(codecsIn(text)).toEqual(['avc1', 'hvc1', 'av01', 'mp4a']);
  const { root, originOf, details } = await bench.stream(id);
  const { broken, video, audio } = await checkHls(root, originOf);
  expect(broken).toEqual([]);
  expect(audio).toHaveLength(1);
  const kinds = (await bench.outputs(id)).map(({ kind }) => kind).sort();
  expect(kinds).toEqual(['av1', 'hevc', 'ladder', 'poster']);
  expect(video.map(({ name, packets }) => [name.replace(/^.*\//, ''), packets.length])).toEqual(
    ['v240', 'v144', 'v240-hevc', 'v144-hevc', 'v240-av1', 'v144-av1'].map((name) => [name, FRAMES]),
  );
  expect(await decodeErrors(...video.map(({ name }) => join(root, name, 'index.m3u8')))).toBe('');
  const startOf = (codec: string): number[] =>
    video.filter(({ codecs }) => codecs!.startsWith(codec)).map(({ packets }) => packets[0]!.pts);
  expect([...startOf('hvc1'), ...startOf('av01')]).toEqual([...startOf('avc1'), ...startOf('avc1')]);
  expect(details.variants.map(({ codecs }) => codecs)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^hvc1\.1\.6\.L\d+\.90$/),
      expect.stringMatching(/^av01\.0\.\d\dM\.08$/),
    ]),
  );
});

it('keep to the ceiling of their rung where a still picture goes over into a wild one', async () => {
  const wild = await makeMedia('wild.mkv', [
    ...[
      '-f',
      'lavfi',
      '-i',
      "color=gray:size=320x240:rate=25:duration=18,noise=alls=80:allf=t:enable='gte(t,8)'",
    ],
    ...['-c:v', 'libx264', '-preset', 'ultrafast', '-qp', '20', '-pix_fmt', 'yuv420p'],
  ]);
  const id = await bench.upload(wild);
  await bench.drain();
  const { root, originOf, details } = await bench.stream(id);
  expect((await checkHls(root, originOf)).broken).toEqual([]);
  const source = JSON.parse((await bench.media(id)).source!) as Source;
  const heights = bench.ctx.config.encoding.ladder;
  const rungs = [
    rungsOf(source, heights),
    rungsAs('hevc', rungsOf(source, heights)),
    rungsAs('av1', rungsOf(source, heights)),
  ].flat();
  expect(details.variants).toHaveLength(rungs.length);
  for (const { name, bandwidth } of details.variants) {
    const { maxRate, bufferSize } = rungs.find((rung) => rung.name === name)!;
    // What comes out in the shortest stretch that counts, 3 s: what goes into the decoder's buffer, and what lay in it.
    const most = maxRate + bufferSize / 3;
    expect([name, bandwidth <= most * 1.1 || { bandwidth, most }]).toEqual([name, true]);
  }
  await rm(dirname(wild), { recursive: true });
});

it('can be cancelled and wanted again, and the media stays ready', async () => {
  const { db, config } = bench.ctx;
  const id = await bench.upload(film);
  await bench.runTo('ladder');
  const { id: jobId } = await jobOf(id, 'hevc');
  const row = () => db.selectFrom('job').selectAll().where('id', '=', jobId).executeTakeFirstOrThrow();
  const waiting = await row();
  await transact(db, (trx) => cancelOne(trx, waiting, config));
  await bench.drain();
  expect([await statusOf(id), (await row()).status]).toEqual(['ready', 'cancelled']);
  expect((await bench.outputs(id)).map(({ kind }) => kind)).not.toContain('hevc');
  const cancelled = await row();
  await transact(db, (trx) => retryOne(trx, cancelled, config));
  await bench.drain();
  expect([await statusOf(id), (await row()).status]).toEqual(['ready', 'succeeded']);
  expect((await bench.outputs(id)).map(({ kind }) => kind)).toContain('hevc');
});

it('are refused at the start by an FFmpeg that lacks an encoder', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-lacking-'));
  await chmod(dir, 0o755); // for the user that FFmpeg runs as
  const lacking = join(dir, 'ffmpeg');
  await writeFile(lacking, '#!/bin/sh\nffmpeg "$@" | grep -v libsvtav1\n');
  await chmod(lacking, 0o755);
  const other = await openBench({ ...FAST, CODECS: 'h264,hevc,av1', FFMPEG_PATH: lacking });
  try {
    await expect(refuseMissingEncoders(bench.ctx)).resolves.toBeUndefined();
    await expect(refuseMissingEncoders(other.ctx)).rejects.toThrow(
      /CODECS asks for av1, but .+ has no encoder libsvtav1.+take av1 out of CODECS/,
    );
  } finally {
    await other.close();
    await rm(dir, { recursive: true });
  }
});
