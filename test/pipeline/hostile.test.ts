/** Files made to harm, and files that are just broken: each ends with a code, and nothing but the source is read. */
import { mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFfmpeg } from '../../server/pipeline/ffmpeg/ffmpeg.ts';
import { ToolError } from '../../server/pipeline/ffmpeg/spawn.ts';
import { mediaPrefix } from '../../server/storage/storage.ts';
import type { Source } from '../../server/media/source.ts';
import { makeMedia } from '../media.ts';
import { openBench, type Bench } from './harness.ts';

const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=160x90:rate=25:duration=4'];
const H264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'];

let bench: Bench;
let dir: string;
let server: Server;
let asked: string[];
beforeAll(async () => {
  bench = await openBench({ LADDER: '144', MAX_DURATION: '1h' });
  dir = await mkdtemp(join(tmpdir(), 'millrace-hostile-'));
  asked = [];
  server = createServer((req, res) => {
    asked.push(req.url ?? '');
    res.end('secret');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  await bench.close();
  server.close();
  await rm(dir, { recursive: true });
});

/** The code and sentence that a file ends with; nothing may be left of the attempt. */
async function failureOf(file: string): Promise<{ code: string | null; message: string | null }> {
  const id = await bench.upload(file);
  await bench.drain();
  const media = await bench.media(id);
  expect(media.status).toBe('failed');
  expect(await readdir(bench.ctx.config.encoding.scratchDir)).toEqual([]);
  expect(await bench.outputs(id)).toEqual([]);
  const keys: string[] = [];
  for await (const { key } of bench.storage.list(mediaPrefix(id))) keys.push(key);
  expect(keys).toEqual([media.sourceKey]);
  const failed = (await bench.jobs(id)).filter((job) => job.status === 'failed');
  // A poster may have failed before.
  expect(failed.map((job) => job.errorCode)).toContain(media.errorCode);
  expect(failed.map((job) => job.attempts)).toEqual(failed.map(() => 1));
  return { code: media.errorCode, message: media.errorMessage };
}

async function write(name: string, bytes: string | Buffer): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, bytes);
  return path;
}

describe('what is not media', () => {
  const noise = Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919 + (i >> 3) * 104_729) % 256));
  it.each([
    ['nothing', '', 'empty_file'],
    ['text', 'Dear server,\nplease encode this.\n', 'not_media'],
    ['a zip', Buffer.concat([Buffer.from('PK\x03\x04'), noise]), 'not_media'],
    ['a program', Buffer.concat([Buffer.from('\x7fELF'), noise]), 'not_media'],
    ['noise', noise, 'not_media'],
    ['zeros', Buffer.alloc(10_000), 'not_media'],
  ])('%s is refused', async (_, bytes, code) => {
    const failure = await failureOf(await write('upload.mp4', bytes));
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(/^[A-Z].*\.$/);
  });

  it.each(['png', 'jpg', 'gif', 'webp'])('a %s is a picture', async (extension) => {
    const file = await makeMedia(`a.${extension}`, [...PICTURE, '-frames:v', '1']);
    expect(await failureOf(file)).toEqual({
      code: 'not_media',
      message: 'This is a picture, not a video or sound file.',
    });
    await rm(join(file, '..'), { recursive: true });
  });

  it('a file with subtitles only has no streams', async () => {
    const text = await write('a.srt', '1\n00:00:00,000 --> 00:00:02,000\nHello\n');
    const file = await makeMedia('a.mkv', ['-i', text]);
    expect((await failureOf(file)).code).toBe('no_streams');
    await rm(join(file, '..'), { recursive: true });
  });
});

describe('playlists under a false name', () => {
  const secret = () => join(dir, 'secret.mp4');
  const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret.mp4`;
  const lists: [string, (target: string) => string][] = [
    ['m3u8', (t) => `#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n${t}\n#EXT-X-ENDLIST\n`],
    ['ffconcat', (t) => `ffconcat version 1.0\nfile '${t}'\n`],
    [
      'MPD',
      (t) =>
        `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT4S">` +
        `<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>${t}</BaseURL>` +
        `</Representation></AdaptationSet></Period></MPD>`,
    ],
    ['sdp', () => 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n'],
  ];
  beforeAll(async () => {
    const file = await makeMedia('secret.mp4', [...PICTURE, ...H264]);
    await writeFile(secret(), await readFile(file));
    await rm(join(file, '..'), { recursive: true });
  });

  it.each(lists)('an %s is refused by its first bytes', async (_, list) => {
    for (const target of [secret(), 'secret.mp4', address()])
      expect((await failureOf(await write('upload.mp4', list(target)))).code).toBe('not_media');
    expect(asked).toEqual([]);
  });

  // The same without the first look, with and without the sandbox: each wall must hold alone.
  describe.each(['off', 'auto'] as const)('ffprobe and ffmpeg, sandbox %s', (sandbox) => {
    it.each(lists)('do not follow an %s', async (_, list) => {
      const ffmpeg = createFfmpeg({ ...bench.ctx.config.encoding, sandbox });
      const scratch = join(dir, `scratch-${sandbox}`);
      await mkdir(scratch, { recursive: true });
      for (const target of [secret(), 'secret.mp4', address()]) {
        const source = await write('upload.mp4', list(target));
        const probe = ffmpeg.probe({ source, options: ['-show_streams'], wallMs: 20_000 });
        await expect(probe).rejects.toThrow(ToolError);
        const outputs = [{ options: ['-map', '0'], path: 'out.mkv' }];
        await expect(ffmpeg.encode({ source, scratch, outputs, wallMs: 20_000 })).rejects.toThrow(ToolError);
      }
      expect(await readdir(scratch)).toEqual([]);
      expect(asked).toEqual([]);
    });
  });
});

describe('bombs', () => {
  it('a picture of 16,000 x 16,000 is refused by its size', async () => {
    const png = await makeMedia('a.mov', [
      ...['-f', 'lavfi', '-i', 'color=black:size=16000x16000:rate=1:duration=1,format=monob'],
      ...['-frames:v', '1', '-c:v', 'png'],
    ]);
    expect((await failureOf(png)).code).toBe('too_large_picture');
    await rm(join(png, '..'), { recursive: true });
  });

  it('a clock that jumps over 50 minutes of nothing is broken', async () => {
    const jump = ['-vf', 'setpts=PTS+gt(N\\,50)*3000/TB', '-fps_mode', 'passthrough'];
    const file = await makeMedia('a.mkv', [...PICTURE, ...jump, ...H264]);
    const failure = await failureOf(file);
    expect(failure.code).toBe('broken_timestamps');
    expect(failure.message).toMatch(/50 minutes/);
    await rm(join(file, '..'), { recursive: true });
  });

  it('a file that is longer than allowed is refused', async () => {
    const file = await makeMedia('a.wav', [
      ...['-f', 'lavfi', '-i', 'anullsrc=r=8000:cl=mono'],
      '-t',
      '3700',
    ]);
    expect(await failureOf(file)).toEqual({
      code: 'too_long',
      message: 'It lasts 1 hour; at most 1 hour are accepted here.',
    });
    await rm(join(file, '..'), { recursive: true });
  });
});

describe('files that go on', () => {
  /** Runs the probe, then lets it have found another length than the file has. */
  async function uploadLying(file: string, seconds: number): Promise<string> {
    const id = await bench.upload(file);
    const { db } = bench.ctx;
    await bench.drain('probe');
    const source = JSON.parse((await bench.media(id)).source!) as Source;
    source.duration = seconds;
    if (source.video) source.video.end = seconds;
    await db
      .updateTable('media')
      .set({ source: JSON.stringify(source) })
      .where('id', '=', id)
      .execute();
    await bench.drain();
    return id;
  }

  it.each([
    ['pictures', ['-f', 'lavfi', '-i', 'color=size=32x32:rate=25:duration=90', '-c:v', 'mpeg4'], 'a.avi'],
    ['sound', ['-f', 'lavfi', '-i', 'anullsrc=r=8000:cl=mono', '-t', '90'], 'a.wav'],
  ])('far more %s than the file promises are too much', async (_, options, name) => {
    const file = await makeMedia(name, options);
    const id = await uploadLying(file, 1);
    expect(await bench.media(id)).toMatchObject({ status: 'failed', errorCode: 'output_too_large' });
    expect((await bench.jobs(id)).find(({ status }) => status === 'failed')).toMatchObject({ attempts: 1 });
    expect(await readdir(bench.ctx.config.encoding.scratchDir)).toEqual([]);
    await rm(join(file, '..'), { recursive: true });
  });
});

describe('broken files', () => {
  it.each([
    ['at the front', ['-movflags', '+faststart'], 0.6],
    ['at the end', [], 0.6],
    ['at the end, all but some bytes of it,', [], 0.999],
  ])('a cut MP4 with its index %s is truncated', async (_, options, part) => {
    const file = await makeMedia('a.mp4', [...PICTURE, ...H264, '-crf', '10', ...options]);
    await truncate(file, Math.floor((await readFile(file)).length * part));
    const { code, message } = await failureOf(file);
    expect(code).toBe('truncated');
    expect(message).toMatch(/Upload|upload/);
    await rm(join(file, '..'), { recursive: true });
  });

  it('a cut Matroska file is truncated', async () => {
    const file = await makeMedia('a.mkv', [...PICTURE, ...H264, '-crf', '10']);
    await truncate(file, Math.floor((await readFile(file)).length * 0.6));
    expect((await failureOf(file)).code).toBe('truncated');
    await rm(join(file, '..'), { recursive: true });
  });

  it('a file whose pictures are garbage is not decodable', async () => {
    const file = await makeMedia('a.mp4', [...PICTURE, ...H264, '-crf', '10', '-movflags', '+faststart']);
    const bytes = await readFile(file);
    bytes.fill(0xa5, bytes.indexOf('mdat') + 4);
    await writeFile(file, bytes);
    expect((await failureOf(file)).code).toBe('not_decodable');
    await rm(join(file, '..'), { recursive: true });
  });

  it('an encrypted file has an unsupported codec', async () => {
    const file = await makeMedia('a.mp4', [
      ...[...PICTURE, ...H264, '-encryption_scheme', 'cenc-aes-ctr'],
      ...[
        '-encryption_key',
        '76a6c65c5ea762046bd749a2e632ccbb',
        '-encryption_kid',
        'a7e61c373e219033c21091fa607bf3b8',
      ],
    ]);
    expect((await failureOf(file)).code).toBe('unsupported_codec');
    await rm(join(file, '..'), { recursive: true });
  });
});
