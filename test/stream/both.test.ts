/** Encoded here and at Stream: either version plays first, and ready means both. */
import { readFile } from 'node:fs/promises';
import { transact } from '../../db/transaction.ts';
import { deleteMedia } from '../../server/media/lifecycle.ts';
import { isHls } from '../../server/media/output.ts';
import { mediaPrefix } from '../../server/storage/storage.ts';
import { DIALECTS, type DialectName } from '../databases.ts';
import { makeClip } from '../media.ts';
import { eventually } from '../server.ts';
import { JobError } from '../../server/jobs/job.ts';
import { openStreamApp, type StreamApp, type StreamOptions } from './harness.ts';

const PATIENCE = 120_000;

describe('encoding here and at Stream', () => {
  let clip: Buffer;
  let app: StreamApp;
  beforeAll(async () => void (clip = await readFile(await makeClip(2))));
  afterEach(() => app.close());

  /** An upload whose video is at Stream, and only moves when told to. */
  async function submitted(dialect: DialectName, options: StreamOptions = {}): Promise<string> {
    const env = { ENCODER: 'both', LADDER: '180,120', X264_PRESET: 'ultrafast' };
    app = await openStreamApp(dialect, { env, world: { stepMs: null }, ...options });
    const id = await app.upload(clip, 'both');
    await eventually(
      async () => (await app.attempt(id).catch(() => undefined))?.state === 'working',
      PATIENCE,
    );
    return id;
  }
  const is = (id: string, status: string) =>
    eventually(async () => (await app.media(id)).status === status, PATIENCE);
  const types = async (id: string, type: string) =>
    (await app.events(id)).filter((event) => event.type === type).map(({ payload }) => payload);
  /** Where the media plays: at Stream or here. */
  async function playsFrom(id: string): Promise<string> {
    const answer = await fetch(`${app.url}/api/media/${id}`, { headers: app.headers });
    const { playback } = (await answer.json()) as { playback: { hls: string } };
    const playlist = await fetch(playback.hls);
    expect(playlist.status).toBe(200);
    expect(await playlist.text()).toMatch(/^#EXTM3U/);
    return new URL(playlist.url).origin === app.url ? 'here' : 'Stream';
  }

  it('plays from Stream first, then from here, and goes with both versions', async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const id = await submitted('sqlite', { before: (task) => (task === 'probe' ? Promise.resolve() : gate) });
    try {
      const { world } = app.standIn;
      const video = world.live[0]!;
      expect((await app.media(id)).status).toBe('processing');
      world.move(video.uid, 'ready', 39);
      await is(id, 'playable');
      expect(await playsFrom(id)).toBe('Stream');
      world.move(video.uid, 'ready', 100);
      await eventually(async () => (await app.attempt(id)).state === 'complete', PATIENCE);
      expect((await app.media(id)).status).toBe('playable');
      open();
      await is(id, 'ready');
      expect(await playsFrom(id)).toBe('here');
      expect((await types(id, 'media.status')).map(({ status }) => status)).toEqual([
        'processing',
        'playable',
        'ready',
      ]);
      const media = await app.media(id);
      await transact(app.ctx.db, (trx) => deleteMedia(trx, media));
      await eventually(async () => video.deleted, PATIENCE);
      await eventually(async () => {
        const rows = await app.ctx.db.selectFrom('media').select('id').execute();
        return rows.length === 0;
      }, PATIENCE);
      for await (const { key } of app.ctx.storage.list(mediaPrefix(id))) throw new Error(`${key} is left`);
    } finally {
      open();
    }
  });

  it('is not ready before Stream is, and goes on without what fails there', async () => {
    const id = await submitted('postgres');
    const { db } = app.ctx;
    await is(id, 'playable');
    await eventually(async () => {
      const jobs = await db.selectFrom('job').select(['task', 'status']).where('mediaId', '=', id).execute();
      const outputs = await db.selectFrom('output').select('kind').where('mediaId', '=', id).execute();
      const idle = jobs.every(({ task, status }) => task === 'retire' || status === 'succeeded');
      return idle && outputs.some(({ kind }) => kind === 'ladder') && outputs.some(isHls);
    }, PATIENCE);
    expect((await app.media(id)).status).toBe('playable');
    expect(await playsFrom(id)).toBe('here');
    const { world } = app.standIn;
    const video = world.live[0]!;
    world.move(video.uid, 'error', 0, { errorCode: 'ERR_UNKNOWN' });
    await is(id, 'ready');
    expect(await types(id, 'media.alert')).toEqual([expect.objectContaining({ videoId: video.uid })]);
    expect(await playsFrom(id)).toBe('here');
  });

  describe('when it can not be encoded here', () => {
    const fails = { code: 'encode_failed', message: 'The encoder failed.', permanent: true };
    /** Every attempt to make a rendition waits for the word, and fails. */
    function failing() {
      let go!: () => void;
      const word = new Promise<void>((resolve) => (go = resolve));
      const before = async (task: string): Promise<void> => {
        if (!['copy', 'first', 'ladder'].includes(task)) return;
        await word;
        throw new JobError(fails);
      };
      return { before, go };
    }
    const hasFailed = (id: string) => eventually(async () => (await app.media(id)).errorCode, PATIENCE);
    const error = async (id: string): Promise<unknown> => {
      const answer = await fetch(`${app.url}/api/media/${id}`, { headers: app.headers });
      return ((await answer.json()) as { error?: unknown }).error;
    };
    const ERROR = { code: 'encode_failed', message: 'The encoder failed.' };

    it.each(DIALECTS)(
      'goes on with Stream alone, and says why, on %s',
      async (dialect) => {
        const { before, go } = failing();
        const id = await submitted(dialect, { before });
        const { world } = app.standIn;
        const video = world.live[0]!;
        go();
        await hasFailed(id);
        expect(await app.media(id)).toMatchObject({ status: 'processing', errorCode: 'encode_failed' });
        expect(await types(id, 'media.alert')).toEqual([{ ...ERROR, provider: 'ffmpeg' }]);
        world.move(video.uid, 'ready', 39);
        await is(id, 'playable');
        expect(await playsFrom(id)).toBe('Stream');
        world.move(video.uid, 'ready', 100);
        await is(id, 'ready');
        expect(await playsFrom(id)).toBe('Stream');
        expect(await error(id)).toEqual(ERROR);
        expect(video.deleted).toBe(false);
      },
      180_000,
    );

    it('is ready at once where Stream had everything', async () => {
      const { before, go } = failing();
      const id = await submitted('sqlite', { before });
      const { world } = app.standIn;
      world.move(world.live[0]!.uid, 'ready', 100);
      await is(id, 'playable');
      await eventually(async () => (await app.attempt(id)).state === 'complete', PATIENCE);
      go();
      await is(id, 'ready');
      expect(await playsFrom(id)).toBe('Stream');
      expect(await error(id)).toEqual(ERROR);
    });

    it.each(['here first', 'there first', 'both at once'])(
      'fails when it can not be encoded there either, %s',
      async (order) => {
        const { before, go } = failing();
        const id = await submitted('postgres', { before });
        const { world } = app.standIn;
        const failThere = () => world.move(world.live[0]!.uid, 'error', 0, { errorCode: 'ERR_UNKNOWN' });
        if (order !== 'there first') go();
        if (order === 'here first') await hasFailed(id);
        failThere();
        if (order === 'there first') {
          await eventually(async () => (await app.attempt(id)).state === 'failed', PATIENCE);
          expect((await app.media(id)).status).toBe('processing');
          go();
        }
        await is(id, 'failed');
        // The last to fail is what the media failed of.
        const there = (await app.attempt(id)).errorCode;
        const expected = { 'here first': [there], 'there first': [ERROR.code] }[order];
        expect(expected ?? [there, ERROR.code]).toContain((await app.media(id)).errorCode);
      },
      180_000,
    );
  });

  describe('when an admin asks for an encode of ours later', () => {
    /** What `POST /retry` for FFmpeg answers: the status, or the code of the refusal. */
    async function encodeHere(id: string): Promise<string> {
      const answer = await fetch(`${app.url}/api/media/${id}/retry`, {
        ...{ method: 'POST', body: JSON.stringify({ encoder: 'ffmpeg' }) },
        headers: { ...app.headers, 'Content-Type': 'application/json' },
      });
      const body = (await answer.json()) as { status: string; code?: string };
      return body.code ?? body.status;
    }
    /** A media that is ready by Stream's version alone. */
    async function carried(env: Record<string, string> = {}, options: StreamOptions = {}): Promise<string> {
      const settings = { LADDER: '120', X264_PRESET: 'ultrafast', STORYBOARD: 'off', ...env };
      app = await openStreamApp('sqlite', { env: settings, ...options });
      const id = await app.upload(clip);
      await is(id, 'ready');
      expect(await playsFrom(id)).toBe('Stream');
      return id;
    }

    it('plays from Stream until ours is whole, and keeps both', async () => {
      let open: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => (open = resolve));
      const id = await carried({}, { before: (task) => (task === 'probe' ? gate : Promise.resolve()) });
      try {
        expect(await encodeHere(id)).toBe('playable');
        expect(await app.media(id)).toMatchObject({ status: 'playable', attempt: 2, encoder: 'both' });
        expect(await playsFrom(id)).toBe('Stream');
        expect(await encodeHere(id)).toBe('not_failed');
      } finally {
        open();
      }
      await is(id, 'ready');
      expect(await playsFrom(id)).toBe('here');
      expect(app.standIn.world.live.map(({ deleted }) => deleted)).toEqual([false]);
      expect(await app.attempt(id)).toMatchObject({ state: 'complete', mediaAttempt: 2 });
      expect(await encodeHere(id)).toBe('already_encoded');
    });

    it('stays with Stream and says why where it can not be encoded here; and may be asked again', async () => {
      let broken = true;
      const before = (task: string): Promise<void> =>
        broken && task === 'probe'
          ? Promise.reject(
              new JobError({ code: 'not_decodable', message: 'It is damaged.', permanent: true }),
            )
          : Promise.resolve();
      const id = await carried({}, { before });
      expect(await encodeHere(id)).toBe('playable');
      await is(id, 'ready');
      expect(await app.media(id)).toMatchObject({ status: 'ready', errorCode: 'not_decodable' });
      expect(await playsFrom(id)).toBe('Stream');
      broken = false;
      expect(await encodeHere(id)).toBe('playable');
      await is(id, 'ready');
      expect(await app.media(id)).toMatchObject({ attempt: 3, errorCode: null });
      expect(await playsFrom(id)).toBe('here');
    });

    it('keeps the upload until it is done, and refuses when it is gone', async () => {
      const id = await carried({ KEEP_SOURCE: '1h' });
      const { db } = app.ctx;
      const drops = () =>
        db.selectFrom('job').select(['status', 'mediaId']).where('task', '=', 'drop-source').execute();
      expect(await drops()).toEqual([{ status: 'queued', mediaId: id }]);
      expect(await encodeHere(id)).toBe('playable');
      await is(id, 'ready');
      expect((await drops()).map(({ status }) => status).sort()).toEqual(['cancelled', 'queued']);
      const past = Date.now() - 1;
      await db.updateTable('job').set({ runAt: past }).where('task', '=', 'drop-source').execute();
      await eventually(async () => (await app.media(id)).sourceDeletedAt !== null, PATIENCE);
      expect(await playsFrom(id)).toBe('here');

      await db.updateTable('media').set({ encoder: 'stream' }).where('id', '=', id).execute();
      expect(await encodeHere(id)).toBe('source_gone');
      expect(await app.media(id)).toMatchObject({ status: 'ready', attempt: 2 });
    });

    it('takes over what Stream could not encode', async () => {
      const settings = { LADDER: '120', X264_PRESET: 'ultrafast', STORYBOARD: 'off' };
      app = await openStreamApp('sqlite', { env: settings, world: { stepMs: null } });
      const id = await app.upload(clip);
      const { world } = app.standIn;
      await eventually(async () => world.live.length === 1, PATIENCE);
      const video = world.live[0]!;
      world.move(video.uid, 'error', 0, { errorCode: 'ERR_UNKNOWN' });
      await is(id, 'failed');
      expect(await encodeHere(id)).toBe('processing');
      await is(id, 'ready');
      expect(await playsFrom(id)).toBe('here');
      expect(await app.media(id)).toMatchObject({ encoder: 'ffmpeg', attempt: 2, errorCode: null });
      await eventually(async () => video.deleted, PATIENCE);
    });
  });
});
