import request from 'supertest';
import type { MediaRow } from '../../db/schema.ts';
import { DIALECTS } from '../databases.ts';
import {
  A_STRING,
  type Answer,
  codeOf,
  makeJob,
  makeMedia,
  makeOutputs,
  openTestApp,
  type TestApp,
} from './app.ts';

interface Item {
  id: string;
  progress: unknown;
}
interface List {
  items: Item[];
  nextCursor?: string;
}

describe.each(DIALECTS)('/api/media on %s', (dialect) => {
  let test: TestApp;
  beforeEach(async () => (test = await openTestApp(dialect)));
  afterEach(() => test.close());

  const get = (path: string, who: keyof TestApp['as'] = 'ann') =>
    request(test.app).get(path).set(test.as[who]);
  const list = async (query = '', who: keyof TestApp['as'] = 'ann') =>
    (await get(`/api/media${query}`, who)).body as List;
  const rowOf = ({ id }: MediaRow) =>
    test.ctx.db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

  it('shows a media whole', async () => {
    const source = { size: 25, container: 'mov', duration: 6, audio: [] };
    const media = await makeMedia(test.ctx, {
      status: 'ready',
      visibility: 'public',
      source: JSON.stringify(source),
    });
    await makeOutputs(test.ctx, media);
    await makeUpload(media, 25, 25);
    const url = `/media/${media.id}`;
    expect((await get(`/api/media/${media.id}`)).body).toEqual({
      id: media.id,
      sourceDeletedAt: null,
      status: 'ready',
      title: 'A film',
      owner: 'ann',
      createdAt: new Date(media.createdAt).toISOString(),
      updatedAt: new Date(media.updatedAt).toISOString(),
      visibility: 'public',
      filename: 'film.mp4',
      filetype: 'video/mp4',
      attempt: 1,
      encoder: 'ffmpeg',
      upload: { offset: 25, length: 25 },
      source,
      outputs: [
        {
          kind: 'hls',
          growing: false,
          bytes: 1234,
          createdAt: A_STRING,
          duration: 6,
          variants: [expect.objectContaining({ name: '360p', height: 360 })],
          audio: [],
          url: `${url}/hls/index.m3u8`,
        },
        {
          kind: 'poster',
          bytes: 1234,
          createdAt: A_STRING,
          width: 640,
          height: 360,
          placeholder: 'data:image/webp;base64,AAAA',
          url: `${url}/poster.jpg`,
        },
      ],
      playback: {
        hls: `${url}/hls/index.m3u8`,
        poster: `${url}/poster.jpg`,
        posterWebp: `${url}/poster.webp`,
        posterSrcset: `${url}/poster.jpg 640w`,
        posterWebpSrcset: `${url}/poster.webp 640w`,
        placeholder: 'data:image/webp;base64,AAAA',
        storyboard: null,
        waveform: null,
        subtitles: [],
        downloads: { mp4: null, m4a: null },
      },
      progress: null,
    });
  });

  it('tells how far the upload is, and where to go on', async () => {
    const media = await makeMedia(test.ctx, { status: 'uploading', sourceKey: null });
    await makeUpload(media, 333, 1000);
    expect((await get(`/api/media/${media.id}`)).body).toMatchObject({
      upload: { offset: 333, length: 1000, url: `/files/${media.id}` },
      progress: { percent: 33.3, step: 'upload' },
      playback: null,
      source: null,
      outputs: [],
    });
  });

  it('tells how far the work is; the encode says more than the rest', async () => {
    const media = await makeMedia(test.ctx);
    const progress = async () => ((await get(`/api/media/${media.id}`)).body as Item).progress;
    expect(await progress()).toBeNull();
    await makeJob(test.ctx, media, { task: 'probe', status: 'succeeded' });
    await makeJob(test.ctx, media, { task: 'old', status: 'running', mediaAttempt: 0 });
    await makeJob(test.ctx, media, { task: 'ladder' });
    expect(await progress()).toEqual({ percent: 0, step: 'ladder' });
    await makeJob(test.ctx, media, { task: 'poster', status: 'running' });
    expect(await progress()).toEqual({ percent: 0, step: 'poster' });
    const told = { percent: 12.5, speed: 3.2, stage: 'Encoding 360p' };
    await test.ctx.db
      .updateTable('job')
      .set({ status: 'running', progress: JSON.stringify(told) })
      .where('task', '=', 'ladder')
      .execute();
    expect(await progress()).toEqual({ ...told, step: 'ladder' });
  });

  it('tells why a media failed', async () => {
    const media = await makeMedia(test.ctx, {
      status: 'failed',
      errorCode: 'not_media',
      errorMessage: 'It is a text.',
    });
    expect((await get(`/api/media/${media.id}`)).body).toMatchObject({
      status: 'failed',
      error: { code: 'not_media', message: 'It is a text.' },
    });
  });

  it('pages from new to old without losing or repeating any', async () => {
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.unshift((await makeMedia(test.ctx)).id);
    const seen: string[] = [];
    let cursor = '';
    for (let pages = 1; ; pages++) {
      const { items, nextCursor } = await list(`?limit=2${cursor}`);
      seen.push(...items.map(({ id }) => id));
      if (pages === 1) await makeMedia(test.ctx); // newer ones do not move the page
      if (!nextCursor) break;
      cursor = `&cursor=${nextCursor}`;
    }
    expect(seen).toEqual(made);
  });

  it('filters by status, words and (admins) owner', async () => {
    const ids = async (query: string, who: keyof TestApp['as'] = 'ann') =>
      (await list(query, who)).items.map(({ id }) => id);
    const a = await makeMedia(test.ctx, { title: 'Summer in Rome', status: 'ready' });
    const b = await makeMedia(test.ctx, { title: '100% wool', filename: 'IMG_2041.MOV', status: 'failed' });
    const c = await makeMedia(test.ctx, { owner: 'bob', title: 'Rome again', filename: null });
    expect(await ids('?status=ready')).toEqual([a.id]);
    expect(await ids('?status=failed,ready')).toEqual([b.id, a.id]);
    expect(await ids('?q=rome')).toEqual([a.id]);
    expect(await ids('?q=img_')).toEqual([b.id]);
    expect(await ids('?q=100%25')).toEqual([b.id]);
    expect(await ids('?q=_')).toEqual([b.id]); // only the name that has one: no wildcard
    expect(await ids('?q=rome', 'admin')).toEqual([c.id, a.id]);
    expect(await ids('?owner=bob', 'admin')).toEqual([c.id]);
  });

  if (dialect === 'sqlite')
    it('finds words of any alphabet, whatever their case', async () => {
      const a = await makeMedia(test.ctx, { title: 'Übung in Ελλάδα', filename: 'ФИЛЬМ.mp4' });
      for (const q of ['übung', 'ΕΛΛ', 'фильм'])
        expect((await list(`?q=${encodeURIComponent(q)}`)).items.map(({ id }) => id)).toEqual([a.id]);
    });

  it('takes a title as long as one that comes with an upload', async () => {
    const media = await makeMedia(test.ctx, { title: 'x'.repeat(255) });
    const title = 'y'.repeat(500);
    const answer = await request(test.app).patch(`/api/media/${media.id}`).set(test.as.ann).send({ title });
    expect([answer.status, (answer.body as { title?: string }).title]).toEqual([200, title]);
  });

  it('changes title and visibility, and tells the feed', async () => {
    const media = await makeMedia(test.ctx);
    const answer = await request(test.app)
      .patch(`/api/media/${media.id}`)
      .set(test.as.ann)
      .send({ title: '  New title ', visibility: 'unlisted' });
    expect(answer.body).toMatchObject({ id: media.id, title: 'New title', visibility: 'unlisted' });
    expect(await rowOf(media)).toMatchObject({
      title: 'New title',
      visibility: 'unlisted',
      status: 'processing',
    });
    const events = await test.ctx.db.selectFrom('event').select(['type', 'mediaId', 'owner']).execute();
    expect(events).toEqual([{ type: 'media.updated', mediaId: media.id, owner: 'ann' }]);
  });

  it('cancels once', async () => {
    const media = await makeMedia(test.ctx);
    const job = await makeJob(test.ctx, media, { task: 'ladder' });
    const cancel = () => request(test.app).post(`/api/media/${media.id}/cancel`).set(test.as.ann);
    expect((await cancel()).body).toMatchObject({ status: 'cancelled' });
    const again = await cancel();
    expect([again.status, codeOf(again.body)]).toEqual([409, 'already_finished']);
    const { status } = await test.ctx.db
      .selectFrom('job')
      .select('status')
      .where('id', '=', job.id)
      .executeTakeFirstOrThrow();
    expect(status).toBe('cancelled');
  });

  it('retries what failed, as a new attempt with new jobs', async () => {
    const media = await makeMedia(test.ctx, { status: 'failed', errorCode: 'x', errorMessage: 'y' });
    const retry = () => request(test.app).post(`/api/media/${media.id}/retry`).set(test.as.ann);
    const first = await retry();
    expect(first.status).toBe(202);
    expect(first.body).toMatchObject({ status: 'processing', attempt: 2 });
    expect(first.body).not.toHaveProperty('error');
    const jobs = await test.ctx.db.selectFrom('job').select(['task', 'mediaAttempt']).execute();
    expect(jobs).toEqual([{ task: 'probe', mediaAttempt: 2 }]);
    const again = await retry();
    expect([again.status, codeOf(again.body)]).toEqual([409, 'not_failed']);
  });

  it('does not retry what was never uploaded whole', async () => {
    const media = await makeMedia(test.ctx, { status: 'failed', sourceKey: null });
    const { status, body } = (await request(test.app)
      .post(`/api/media/${media.id}/retry`)
      .set(test.as.ann)) as Answer;
    expect([status, codeOf(body)]).toEqual([409, 'source_missing']);
  });

  it('deletes for every reader at once', async () => {
    const media = await makeMedia(test.ctx, { visibility: 'public' });
    await makeOutputs(test.ctx, media);
    const remove = () => request(test.app).delete(`/api/media/${media.id}`).set(test.as.ann);
    expect((await remove()).status).toBe(204);
    expect((await remove()).status).toBe(404);
    expect((await get(`/api/media/${media.id}`, 'admin')).status).toBe(404);
    expect((await get(`/media/${media.id}/hls/index.m3u8`, 'admin')).status).toBe(404);
    expect((await list()).items).toEqual([]);
    const jobs = await test.ctx.db.selectFrom('job').select('task').execute();
    expect(jobs).toEqual([{ task: 'purge' }]);
  });

  it('gives absolute addresses when PUBLIC_URL is set', async () => {
    const other = await openTestApp(dialect, { PUBLIC_URL: 'https://media.example/' });
    const media = await makeMedia(other.ctx, { visibility: 'public', status: 'uploading' });
    await makeOutputs(other.ctx, media);
    const { body } = (await request(other.app).get(`/api/media/${media.id}`).set(other.as.ann)) as Answer;
    expect(body).toMatchObject({
      playback: { hls: `https://media.example/media/${media.id}/hls/index.m3u8` },
    });
    await other.close();
  });

  async function makeUpload(media: MediaRow, offset: number, length: number): Promise<void> {
    const now = Date.now();
    await test.ctx.db
      .insertInto('upload')
      .values({
        id: media.id,
        mediaId: media.id,
        owner: media.owner,
        kind: 'single',
        length,
        offset,
        state: offset === length ? 'complete' : 'receiving',
        key: `media/${media.id}/source`,
        tailSize: 0,
        epoch: 0,
        createdAt: now,
        updatedAt: now,
      })
      .execute();
  }
});
