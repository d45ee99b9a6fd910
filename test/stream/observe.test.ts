/** Observations in every order, and what the clock makes of videos that nobody tells of. */
import { randomBytes } from 'node:crypto';
import { transact } from '../../db/transaction.ts';
import { deleteMedia } from '../../server/media/lifecycle.ts';
import { DIALECTS } from '../databases.ts';
import { eventually } from '../server.ts';
import type { Video } from '../stand-ins/stream/video.ts';
import { show } from '../stand-ins/stream/video.ts';
import { openStreamApp, type StreamApp, type StreamOptions } from './harness.ts';

/** Polls far away: only webhooks tell. */
const SLOW = { STREAM_POLL_FIRST: '1h', STREAM_POLL_LONGEST: '1h' };

describe.each(DIALECTS)('what is seen of a video, on %s', (dialect) => {
  let app: StreamApp;
  afterEach(() => app.close());

  /** An upload whose video only moves when told to. */
  async function submitted(options: StreamOptions = {}): Promise<{ id: string; video: Video }> {
    app = await openStreamApp(dialect, { ...options, world: { stepMs: null, ...options.world } });
    const id = await app.upload(randomBytes(1_000));
    await eventually(async () => (await app.attempt(id)).state === 'working');
    return { id, video: app.standIn.world.live[0]! };
  }
  const reaches = (id: string, status: string) =>
    eventually(async () => (await app.media(id)).status === status);
  const tell = (video: Video) =>
    app.standIn.world.send(video, JSON.stringify(show(video, app.standIn.world.origin)));
  const statuses = async (id: string) =>
    (await app.events(id)).filter(({ type }) => type === 'media.status').map(({ payload }) => payload.status);

  it('counts once, however often and late it is told', async () => {
    const { id, video } = await submitted({ env: SLOW });
    const { world } = app.standIn;
    const early = { ...video };
    world.move(video.uid, 'ready', 39, { webhook: false });
    const half = { ...video };
    world.move(video.uid, 'ready', 100, { webhook: false });
    for (const seen of [half, half, video, video, early, half]) await tell(seen);
    expect(await app.attempt(id)).toMatchObject({ state: 'complete', percent: 100, nextAt: null });
    expect(await statuses(id)).toEqual(['processing', 'playable', 'ready']);
    expect(world.deliveries.map(({ status }) => status)).toEqual(Array(6).fill(204));
  });

  it('goes from processing to ready when the first word is the last', async () => {
    const { id, video } = await submitted({ env: SLOW });
    app.standIn.world.move(video.uid, 'ready', 100);
    await reaches(id, 'ready');
    expect(await statuses(id)).toEqual(['processing', 'playable', 'ready']);
  });

  it('is polled when webhooks are lost', async () => {
    const { id, video } = await submitted({ world: { faults: { drop: 1 } } });
    app.standIn.world.move(video.uid, 'ready', 39);
    await reaches(id, 'playable');
    app.standIn.world.move(video.uid, 'ready', 100);
    await reaches(id, 'ready');
    expect(app.standIn.world.deliveries).toEqual([]);
  });

  it('fails a media with a sentence, and never revives it', async () => {
    const { id, video } = await submitted({ env: SLOW });
    app.standIn.world.move(video.uid, 'error', 0, { errorCode: 'ERR_NON_VIDEO' });
    await reaches(id, 'failed');
    expect(await app.media(id)).toMatchObject({ errorCode: 'not_media' });
    app.standIn.world.move(video.uid, 'ready', 100, { webhook: false });
    await tell(video);
    expect(await statuses(id)).toEqual(['processing', 'failed']);
  });

  it('is an alert, once and no more, when it is ready and then fails', async () => {
    const { id, video } = await submitted({ env: SLOW });
    app.standIn.world.move(video.uid, 'ready', 100);
    await reaches(id, 'ready');
    app.standIn.world.move(video.uid, 'error', 100, { errorCode: 'ERR_UNKNOWN', webhook: false });
    await tell(video);
    await tell(video);
    const alerts = (await app.events(id)).filter(({ type }) => type === 'media.alert');
    expect(alerts.map(({ payload }) => payload)).toEqual([expect.objectContaining({ videoId: video.uid })]);
    expect((await app.media(id)).status).toBe('ready');
  });

  it('fetches once more, by another address, what could not be fetched', async () => {
    const { id, video } = await submitted({ env: SLOW });
    const { world } = app.standIn;
    world.move(video.uid, 'error', 0, { errorCode: 'ERR_FETCH_ORIGIN_ERROR' });
    const second = await eventually(async () => world.live.find(({ uid }) => uid !== video.uid));
    await eventually(async () => video.deleted);
    expect(second.input).not.toBe(video.input);
    await eventually(async () => (await app.attempt(id)).videoId === second.uid);
    world.move(second.uid, 'error', 0, { errorCode: 'ERR_FETCH_ORIGIN_ERROR' });
    await reaches(id, 'failed');
    expect(world.live).toEqual([second]);
    expect((await app.media(id)).errorCode).toBe('source_not_fetched');
  });

  it('is removed when it is one too many', async () => {
    const { id, video } = await submitted({ env: SLOW });
    const { world } = app.standIn;
    const extra = world.create({ ...video, meta: video.meta });
    Object.assign(extra, { uid: 'e'.repeat(32) });
    world.videos.set(extra.uid, extra);
    await tell(extra);
    await eventually(async () => extra.deleted);
    expect((await app.attempt(id)).videoId).toBe(video.uid);
    expect(video.deleted).toBe(false);
  });

  it('is lost when nobody finds it any more, three times', async () => {
    const { id, video } = await submitted();
    video.deleted = true;
    await reaches(id, 'failed');
    expect(await app.media(id)).toMatchObject({ errorCode: 'deleted' });
  });

  it('is given up at its deadline, after a last look', async () => {
    const { id } = await submitted({ env: { STREAM_DEADLINE: '1s' } });
    await reaches(id, 'failed');
    expect(await app.media(id)).toMatchObject({ errorCode: 'timeout' });
  });

  it('of a stranger changes nothing', async () => {
    const { id, video } = await submitted({ env: SLOW });
    await tell({ ...video, uid: 'f'.repeat(32), meta: { name: 'holiday.mp4' }, state: 'ready' });
    await tell({ ...video, uid: 'f'.repeat(32), meta: {}, state: 'error' });
    expect(app.standIn.world.deliveries.map(({ status }) => status)).toEqual([204, 204]);
    expect(await statuses(id)).toEqual(['processing']);
  });

  it('goes with its media', async () => {
    const { id, video } = await submitted({ env: SLOW });
    const media = await app.media(id);
    await transact(app.ctx.db, (trx) => deleteMedia(trx, media));
    await eventually(async () => video.deleted);
    await eventually(
      async () => (await app.ctx.db.selectFrom('encodeAttempt').selectAll().execute()).length === 0,
      20_000,
    );
  });
});
