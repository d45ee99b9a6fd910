/** The files of outputs beside the stream: who gets them, as what, and where the API names them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import request from 'supertest';
import type { MediaRow } from '../../db/schema.ts';
import { playbackToken } from '../../server/auth/signed-urls.ts';
import { newId } from '../../server/ids.ts';
import type { OutputDetails } from '../../server/media/output.ts';
import type { DiskStorage } from '../../server/storage/disk.ts';
import { makeMedia, makeOutputs, openTestApp, type TestApp } from './app.ts';

const VTT = 'WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n';
const TRACK = { name: '1', label: 'Deutsch', language: 'de', isDefault: true, isForced: false, cues: 1 };
const OUTPUTS: [Partial<OutputDetails>, Record<string, string>][] = [
  [
    { storyboard: { interval: 2, tiles: 1, width: 4, height: 2, columns: 1, sheets: 1 } },
    { 'storyboard.vtt': `${VTT}storyboard-1.webp#xywh=0,0,4,2\n`, 'storyboard-1.webp': 'sheet' },
  ],
  [{ waveform: { length: 1 } }, { 'waveform.json': '{"data":[-1,1]}' }],
  [{ subtitles: { tracks: [TRACK] } }, { '1.vtt': `${VTT}Hallo\n` }],
  [{ mp4: { duration: 2, width: 4, height: 2 } }, { 'download.mp4': '0123456789' }],
  [{ m4a: { duration: 2 } }, { 'download.m4a': '0123456789' }],
];

async function makeExtras({ db, storage }: TestApp['ctx'], media: MediaRow): Promise<void> {
  for (const [details, files] of OUTPUTS) {
    const [[kind, value] = ['', {}]] = Object.entries(details);
    const prefix = `media/${media.id}/${kind}/`;
    for (const [name, content] of Object.entries(files)) {
      const path = (storage as DiskStorage).pathOf(prefix + name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
    const row = { id: newId(), mediaId: media.id, mediaAttempt: 1, kind, prefix, bytes: 1, createdAt: 1 };
    await db
      .insertInto('output')
      .values({ ...row, details: JSON.stringify(value) })
      .execute();
  }
}

describe('/media/{id}', () => {
  let test: TestApp;
  let open: MediaRow;
  let closed: MediaRow;
  let bare: MediaRow;
  beforeAll(async () => {
    test = await openTestApp('sqlite');
    open = await makeMedia(test.ctx, { visibility: 'public', title: '../Ein "Film": größer?\n' });
    closed = await makeMedia(test.ctx, { title: '...' });
    bare = await makeMedia(test.ctx, { visibility: 'public' });
    for (const media of [open, closed]) {
      await makeOutputs(test.ctx, media);
      await makeExtras(test.ctx, media);
    }
  });
  afterAll(() => test.close());

  const FILES: [file: string, type: string][] = [
    ['storyboard.vtt', 'text/vtt; charset=utf-8'],
    ['storyboard-1.webp', 'image/webp'],
    ['waveform.json', 'application/json; charset=utf-8'],
    ['subtitles/1.vtt', 'text/vtt; charset=utf-8'],
    ['hls/subtitles/1.vtt', 'text/vtt; charset=utf-8'],
    ['hls/subtitles/1.m3u8', 'application/vnd.apple.mpegurl'],
    ['download.mp4', 'video/mp4'],
    ['download.m4a', 'audio/mp4'],
  ];

  it.each(FILES)('serves %s as %s to those who may watch', async (file, type) => {
    const answer = await request(test.app).get(`/media/${open.id}/${file}`);
    expect([answer.status, answer.headers['content-type']]).toEqual([200, type]);
    expect(answer.headers['cache-control']).toBe('public, max-age=60');
    expect(answer.headers['cross-origin-resource-policy']).toBe('cross-origin');
    expect((await request(test.app).get(`/media/${bare.id}/${file}`)).status).toBe(404);
    const secret = `/media/${closed.id}/${file}`;
    expect((await request(test.app).get(secret)).status).toBe(401);
    expect((await request(test.app).get(secret).set(test.as.bob)).status).toBe(404);
    const own = await request(test.app).get(secret).set(test.as.ann);
    expect([own.status, own.headers['cache-control']]).toEqual([200, 'private, max-age=60']);
    const token = playbackToken(test.ctx.secret, closed.id, 60_000);
    expect((await request(test.app).get(`${secret}?token=${token}`)).status).toBe(200);
    expect((await request(test.app).post(secret)).status).toBe(405);
  });

  it.each([
    ['storyboard-2.webp'],
    ['storyboard-0.webp'],
    ['storyboard-01.webp'],
    ['poster-320.jpg'],
    ['poster-x.webp'],
    ['poster-..%2f.webp'],
    ['subtitles/2.vtt'],
    ['subtitles/..%2f..%2fsource.vtt'],
    ['subtitles/1.srt'],
    ['hls/subtitles/2.m3u8'],
    ['hls/subtitles/..%2f1.vtt'],
    ['download.mkv'],
  ])('has no %s', async (file) => {
    expect((await request(test.app).get(`/media/${open.id}/${file}`)).status).toBe(404);
  });

  it('carries the token from the storyboard to its pictures', async () => {
    const token = playbackToken(test.ctx.secret, closed.id, 60_000);
    const { text } = await request(test.app).get(`/media/${closed.id}/storyboard.vtt?token=${token}`);
    expect(text).toContain(`\nstoryboard-1.webp?token=${token}#xywh=0,0,4,2\n`);
    expect((await request(test.app).get(`/media/${open.id}/storyboard.vtt`)).text).toContain(
      '\nstoryboard-1.webp#xywh=0,0,4,2\n',
    );
  });

  it('has its subtitles in the stream, with the token all the way', async () => {
    const token = playbackToken(test.ctx.secret, closed.id, 60_000);
    const base = `/media/${closed.id}/hls/`;
    const text = async (path: string): Promise<string> => (await request(test.app).get(base + path)).text;
    const uri = `subtitles/1.m3u8?token=${token}`;
    const multivariant = (await request(test.app).get(`${base}index.m3u8?token=${token}`).buffer(true)).text;
    expect(multivariant).toContain(
      `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subtitles",NAME="Deutsch",LANGUAGE="de",DEFAULT=YES,AUTOSELECT=YES,FORCED=NO,URI="${uri}"`,
    );
    expect(multivariant).toMatch(/^#EXT-X-STREAM-INF:.*,SUBTITLES="subtitles"$/m);
    expect(await text(uri)).toContain(`\n1.vtt?token=${token}\n`);
    expect(await text(`subtitles/1.vtt?token=${token}`)).toContain(
      'X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n',
    );
    expect((await request(test.app).get(`/media/${bare.id}/hls/index.m3u8`)).text).not.toContain('SUBTITLES');
  });

  it('gives downloads a name that no file system minds, and ranges', async () => {
    const answer = await request(test.app).get(`/media/${open.id}/download.mp4`).set('Range', 'bytes=2-4');
    expect([answer.status, String(answer.body)]).toEqual([206, '234']);
    expect(answer.headers['content-disposition']).toBe(
      `attachment; filename="Ein Film gr??er.mp4"; filename*=UTF-8''Ein%20Film%20gr%C3%B6%C3%9Fer.mp4`,
    );
    const nameless = await request(test.app).get(`/media/${closed.id}/download.m4a`).set(test.as.ann);
    expect(nameless.headers['content-disposition']).toBe('attachment; filename=download.m4a');
  });

  it('names them all in the API', async () => {
    const answer = await request(test.app).get(`/api/media/${open.id}/playback`);
    const url = `/media/${open.id}`;
    const { name, cues, ...track } = TRACK;
    expect((answer.body as { playback: unknown }).playback).toMatchObject({
      storyboard: `${url}/storyboard.vtt`,
      waveform: `${url}/waveform.json`,
      subtitles: [{ url: `${url}/subtitles/1.vtt`, ...track }],
      downloads: { mp4: `${url}/download.mp4`, m4a: `${url}/download.m4a` },
    });
    const whole = (await request(test.app).get(`/api/media/${closed.id}`).set(test.as.ann)).body as {
      outputs: { kind: string; url: string }[];
    };
    for (const { kind, url: signed } of whole.outputs.filter((o) => o.kind !== 'hls'))
      expect([kind, (await request(test.app).get(signed)).status]).toEqual([kind, 200]);
  });
});
