/** Subtitles go to Stream's video, and playback leads there. */
import { transact } from '../../db/transaction.ts';
import { newId } from '../../server/ids.ts';
import { addCaptions } from '../../server/providers/index.ts';
import { eventually } from '../server.ts';
import { openStreamApp, type StreamApp } from './harness.ts';

describe('a video at Stream', () => {
  let app: StreamApp;
  afterEach(() => app.close());

  it('plays by a signed redirect, and takes subtitles, one of each language', async () => {
    app = await openStreamApp('sqlite');
    const { db, storage } = app.ctx;
    const id = await app.upload(Buffer.from('a film'));
    await eventually(async () => (await app.media(id)).status === 'ready');

    const answer = await fetch(`${app.url}/api/media/${id}`, { headers: app.headers });
    const { playback } = (await answer.json()) as { playback: { hls: string; poster: string } };
    const playlist = await fetch(playback.hls);
    expect([playlist.status, playlist.redirected]).toEqual([200, true]);
    expect(await playlist.text()).toMatch(/^#EXTM3U/);
    expect((await fetch(playback.poster)).headers.get('content-type')).toBe('image/jpeg');
    const [video] = app.standIn.world.live;
    expect((await fetch(`${app.standIn.world.origin}/${video!.uid}/manifest/video.m3u8`)).status).toBe(401);
    expect((await fetch(`${app.url}/media/${id}/hls/index.m3u8`, { redirect: 'manual' })).status).toBe(401);

    const track = { label: 'x', isDefault: false, cues: 1 };
    const tracks = [
      { name: '1', language: 'en', isForced: true, ...track },
      { name: '2', language: 'en', isForced: false, ...track },
      { name: '3', language: 'und', isForced: false, ...track },
    ];
    for (const { name } of tracks) await storage.put(`media/${id}/subs/${name}.vtt`, `WEBVTT\n\n${name}\n`);
    await db
      .insertInto('output')
      .values({
        ...{ id: newId(), mediaId: id, mediaAttempt: 1, kind: 'subtitles', prefix: `media/${id}/subs/` },
        ...{ bytes: 1, details: JSON.stringify({ tracks }), createdAt: Date.now() },
      })
      .execute();
    const [media, attempt] = [await app.media(id), await app.attempt(id)];
    await transact(db, (trx) => addCaptions(trx, media, attempt));
    await eventually(async () => video!.captions.en !== undefined);
    expect(video!.captions).toEqual({ en: 'WEBVTT\n\n2\n' });
  });
});
