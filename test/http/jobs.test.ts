import request from 'supertest';
import { DIALECTS } from '../databases.ts';
import { codeOf, makeJob, makeMedia, openTestApp, type TestApp } from './app.ts';

describe.each(DIALECTS)('/api/jobs on %s', (dialect) => {
  let test: TestApp;
  beforeEach(async () => (test = await openTestApp(dialect)));
  afterEach(() => test.close());

  const get = (path: string, who: keyof TestApp['as'] = 'ann') =>
    request(test.app).get(path).set(test.as[who]);
  const post = (path: string) => request(test.app).post(path).set(test.as.ann);
  const statusOf = async (table: 'job' | 'media', id: string) =>
    (await test.ctx.db.selectFrom(table).select('status').where('id', '=', id).executeTakeFirstOrThrow())
      .status;

  it('lists jobs of a media with what became of them', async () => {
    const media = await makeMedia(test.ctx);
    await makeJob(test.ctx, await makeMedia(test.ctx));
    const job = await makeJob(test.ctx, media, {
      status: 'failed',
      attempts: 2,
      errorCode: 'ffmpeg_failed',
      errorMessage: 'FFmpeg ended with 1.',
      exitStatus: '1',
      logTail: 'moov atom not found',
      startedAt: 1_700_000_000_000,
    });
    const item = {
      id: job.id,
      task: 'probe',
      status: 'failed',
      attempts: 2,
      maxAttempts: 5,
      mediaId: media.id,
      mediaAttempt: 1,
      owner: 'ann',
      priority: 0,
      progress: null,
      error: { code: 'ffmpeg_failed', message: 'FFmpeg ended with 1.', exitStatus: '1' },
      createdAt: new Date(job.createdAt).toISOString(),
      runAt: new Date(job.runAt).toISOString(),
      startedAt: '2023-11-14T22:13:20.000Z',
      finishedAt: null,
    };
    expect((await get(`/api/jobs?media=${media.id}`)).body).toEqual({ items: [item] });
    expect((await get(`/api/jobs/${job.id}`)).body).toEqual({
      ...item,
      worker: null,
      leaseUntil: null,
      cancelRequested: false,
      logTail: 'moov atom not found',
    });
  });

  it('filters, pages and counts', async () => {
    const media = await makeMedia(test.ctx);
    const hls = await makeJob(test.ctx, media, { task: 'ladder', status: 'running' });
    const poster = await makeJob(test.ctx, media, { task: 'poster' });
    const ids = async (query: string) =>
      ((await get(`/api/jobs?${query}`)).body as { items: { id: string }[] }).items.map(({ id }) => id);
    expect(await ids('status=running')).toEqual([hls.id]);
    expect(await ids('status=running,queued')).toEqual([poster.id, hls.id]);
    expect(await ids('task=poster')).toEqual([poster.id]);
    expect((await get('/api/jobs?limit=1')).body).toMatchObject({ nextCursor: poster.id });
    expect(await ids(`limit=1&cursor=${poster.id}`)).toEqual([hls.id]);
    const none = { queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
    expect((await get('/api/jobs/counts')).body).toEqual({
      ...none,
      running: 1,
      queued: 1,
      tasks: { ladder: { ...none, running: 1 }, poster: { ...none, queued: 1 } },
    });
  });

  it('retries a step by retrying its media', async () => {
    const media = await makeMedia(test.ctx, { status: 'failed', errorCode: 'x', errorMessage: 'y' });
    const job = await makeJob(test.ctx, media, { status: 'failed', attempts: 5 });
    const answer = await post(`/api/jobs/${job.id}/retry`);
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ task: 'probe', status: 'queued', mediaAttempt: 2 });
    expect(await statusOf('media', media.id)).toBe('processing');
    expect(await statusOf('job', job.id)).toBe('failed'); // the old one stays as it was

    const again = await post(`/api/jobs/${job.id}/retry`);
    expect([again.status, codeOf(again.body)]).toEqual([409, 'superseded']);
  });

  it('runs a failed job that is no step again', async () => {
    const media = await makeMedia(test.ctx);
    const job = await makeJob(test.ctx, media, {
      task: 'discard',
      status: 'failed',
      attempts: 5,
      mediaAttempt: null,
    });
    expect((await post(`/api/jobs/${job.id}/retry`)).body).toMatchObject({
      id: job.id,
      status: 'queued',
      attempts: 0,
    });
    expect((await post(`/api/jobs/${job.id}/retry`)).status).toBe(409);
  });

  it('cancels a step; its media fails, and its other jobs stop', async () => {
    const media = await makeMedia(test.ctx);
    const hls = await makeJob(test.ctx, media, { task: 'ladder' });
    const poster = await makeJob(test.ctx, media, { task: 'poster' });
    expect((await post(`/api/jobs/${hls.id}/cancel`)).body).toMatchObject({ status: 'cancelled' });
    expect(await statusOf('job', poster.id)).toBe('cancelled');
    expect((await get(`/api/media/${media.id}`)).body).toMatchObject({
      status: 'failed',
      error: { code: 'job_cancelled' },
    });
    const again = await post(`/api/jobs/${hls.id}/cancel`);
    expect([again.status, codeOf(again.body)]).toEqual([409, 'already_finished']);
    expect((await post(`/api/jobs/${hls.id}/retry`)).body).toMatchObject({
      status: 'queued',
      mediaAttempt: 2,
    });
  });

  describe('of an extra of a media', () => {
    const SOURCE = JSON.stringify({ size: 1, duration: 1, audio: [], subtitles: [], video: { width: 2 } });
    const retry = async (id: string) => {
      const answer = await post(`/api/jobs/${id}/retry`);
      return answer.status === 202 ? (answer.body as { status: string }).status : codeOf(answer.body);
    };

    it.each(['queued', 'running'])('cancels it while it is %s, and the media goes on', async (status) => {
      const media = await makeMedia(test.ctx, { source: SOURCE });
      const ladder = await makeJob(test.ctx, media, { task: 'ladder', status: 'running', leaseToken: 'y' });
      const lease = status === 'running' ? { leaseToken: 'x' } : {};
      const poster = await makeJob(test.ctx, media, { task: 'poster', status, ...lease });
      const answer = await post(`/api/jobs/${poster.id}/cancel`);
      expect(answer.body).toMatchObject(
        status === 'running' ? { status, cancelRequested: true } : { status: 'cancelled' },
      );
      expect((await get(`/api/media/${media.id}`)).body).not.toHaveProperty('error');
      expect(await statusOf('media', media.id)).toBe('processing');
      expect(await statusOf('job', ladder.id)).toBe('running');
      expect(await retry(poster.id)).toBe(status === 'running' ? 'not_failed' : 'queued');
    });

    it('is not needed where the media has it, or where another step has taken its place', async () => {
      const media = await makeMedia(test.ctx, { source: SOURCE, status: 'ready' });
      const row = { mediaId: media.id, mediaAttempt: 1, bytes: 1, createdAt: 1, details: '{}' };
      const output = { ...row, id: media.id, kind: 'poster', prefix: 'p/' };
      await test.ctx.db.insertInto('output').values(output).execute();
      for (const task of ['poster', 'copy', 'ladder'])
        expect(await retry((await makeJob(test.ctx, media, { task, status: 'cancelled' })).id)).toBe(
          'not_needed',
        );
      expect(await retry((await makeJob(test.ctx, media, { status: 'succeeded' })).id)).toBe('not_failed');
    });

    it('needs the uploaded file, if its step reads that', async () => {
      const gone = { source: SOURCE, status: 'ready', sourceKey: null, sourceDeletedAt: 1 };
      const media = await makeMedia(test.ctx, gone);
      const poster = await makeJob(test.ctx, media, { task: 'poster', status: 'failed' });
      expect(await retry(poster.id)).toBe('source_gone');
    });
  });

  it('shows a job that succeeded at 100 %, whatever was said last', async () => {
    const media = await makeMedia(test.ctx);
    const progress = JSON.stringify({ percent: 2.1, speed: 3 });
    const job = await makeJob(test.ctx, media, { status: 'succeeded', progress });
    expect((await get(`/api/jobs/${job.id}`)).body).toMatchObject({ progress: { percent: 100, speed: 3 } });
  });

  it('asks the worker of a running job to stop', async () => {
    const media = await makeMedia(test.ctx);
    const job = await makeJob(test.ctx, media, { task: 'ladder', status: 'running', leaseToken: 'x' });
    expect((await post(`/api/jobs/${job.id}/cancel`)).body).toMatchObject({
      status: 'running',
      cancelRequested: true,
    });
  });
});
