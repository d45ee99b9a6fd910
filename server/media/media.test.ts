import type { Db, Trx } from '../../db/dialect.ts';
import type { EventRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { DIALECTS, openTestDatabase, type TestDatabase } from '../../test/databases.ts';
import { newId } from '../ids.ts';
import { add, claim } from '../jobs/queue.ts';
import { cancelMedia, deleteMedia } from './lifecycle.ts';
import {
  createMedia,
  MEDIA_STATUSES,
  reopen,
  transition,
  TRANSITIONS,
  UNFINISHED,
  type MediaStatus,
} from './media.ts';
import { newOutputId, publishOutput, type NewOutput } from './output.ts';

const FROM_NOWHERE: readonly MediaStatus[] = ['uploading', 'live'];

it('ends where nothing leads on', () => {
  expect(UNFINISHED).toEqual(['uploading', 'live', 'processing', 'playable']);
});

describe.each(DIALECTS)('media on %s', (dialect) => {
  let database: TestDatabase;
  let db: Db;
  let id: string;
  beforeEach(async () => {
    database = await openTestDatabase(dialect);
    db = database.db;
    id = newId();
    const media = { id, owner: 'ann', title: 'A', filename: 'a.mp4', filetype: null, visibility: 'private' };
    await transact(db, (trx) => createMedia(trx, { ...media, status: 'uploading' }));
  });
  afterEach(() => database.close());

  const row = () => db.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const put = (status: string) => db.updateTable('media').set({ status, sourceKey: 's' }).execute();
  const events = async (type: string): Promise<(EventRow & { told: unknown })[]> => {
    const rows = await db.selectFrom('event').selectAll().where('type', '=', type).orderBy('id').execute();
    return rows.map((event) => ({ ...event, told: JSON.parse(event.payload) as unknown }));
  };
  const within = <T>(work: (trx: Trx) => Promise<T>) => transact(db, work);
  const jobs = () => db.selectFrom('job').select(['key', 'task', 'status']).orderBy('key').execute();

  it('starts its life with an event', async () => {
    expect(await row()).toMatchObject({
      status: 'uploading',
      attempt: 1,
      filename: 'a.mp4',
      deletedAt: null,
    });
    expect(await events('media.created')).toMatchObject([
      { owner: 'ann', mediaId: id, told: { status: 'uploading', title: 'A' } },
    ]);
  });

  it.each(MEDIA_STATUSES)('leaves %s only along its edges', async (from) => {
    for (const to of MEDIA_STATUSES.filter((status) => !FROM_NOWHERE.includes(status))) {
      await put(from);
      const before = await row();
      const told = await events('media.status');
      const moved = await within((trx) => transition(trx, id, to, { attempt: 1 }));
      if (TRANSITIONS[from].includes(to)) {
        expect(moved).toMatchObject({ id, status: to });
        expect(await row()).toEqual(moved);
        expect((await events('media.status')).at(-1)!.told).toEqual({ status: to, attempt: 1 });
      } else {
        expect(moved).toBeUndefined();
        expect(await row()).toEqual(before);
        expect(await events('media.status')).toEqual(told);
      }
    }
  });

  it('refuses edges that do not exist, as a bug', async () => {
    const move = (to: MediaStatus, from?: readonly MediaStatus[]) =>
      within((trx) => transition(trx, id, to, { from, attempt: 1 }));
    await expect(move('uploading')).rejects.toThrow('illegal transition');
    await expect(move('ready', ['processing'])).rejects.toThrow('illegal transition processing -> ready');
    await expect(move('processing', ['failed'])).rejects.toThrow('illegal transition failed -> processing');
    await expect(move('processing', [])).rejects.toThrow('illegal transition');
    expect((await row()).status).toBe('uploading');
  });

  it('moves only from where the caller says, and for the attempt it works for', async () => {
    const guarded = (from: MediaStatus[], attempt: number) =>
      within((trx) => transition(trx, id, 'failed', { from, attempt }));
    expect(await guarded(['processing'], 1)).toBeUndefined();
    expect(await guarded(['uploading'], 2)).toBeUndefined();
    expect(await guarded(['uploading'], 1)).toMatchObject({ status: 'failed' });
  });

  it('is moved by one of many who try', async () => {
    const tries = await Promise.all(
      [1, 2, 3, 4].map(() => within((trx) => transition(trx, id, 'processing', { attempt: 1 }))),
    );
    expect(tries.filter(Boolean)).toHaveLength(1);
    expect(await events('media.status')).toHaveLength(1);
  });

  it('changes along with its status, and tells why it failed', async () => {
    await within((trx) => transition(trx, id, 'processing', { attempt: 1 }, { sourceKey: 'key' }));
    const error = { code: 'not_media', message: 'This is not a video.' };
    await within((trx) => transition(trx, id, 'failed', { attempt: 1 }, { error }));
    expect(await row()).toMatchObject({
      sourceKey: 'key',
      errorCode: 'not_media',
      errorMessage: error.message,
    });
    expect((await events('media.status')).at(-1)!.told).toEqual({ status: 'failed', attempt: 1, error });
  });

  it('is reopened once, under a new attempt, which the old one can not touch', async () => {
    await put('failed');
    const tries = await Promise.all([1, 2, 3].map(() => within((trx) => reopen(trx, id, 1))));
    expect(tries.filter(Boolean)).toMatchObject([{ status: 'processing', attempt: 2, errorCode: null }]);
    expect(await within((trx) => transition(trx, id, 'failed', { attempt: 1 }))).toBeUndefined();
    expect(await row()).toMatchObject({ status: 'processing', attempt: 2 });
    expect((await events('media.status')).map(({ told }) => told)).toEqual([
      { status: 'processing', attempt: 2 },
    ]);
  });

  it('is not reopened unless it failed, is whole and there', async () => {
    const never = async () => expect(await within((trx) => reopen(trx, id, 1))).toBeUndefined();
    for (const status of MEDIA_STATUSES.filter((s) => s !== 'failed')) {
      await put(status);
      await never();
    }
    await put('failed');
    await db.updateTable('media').set({ sourceKey: null }).execute();
    await never();
    await db.updateTable('media').set({ sourceKey: 's', deletedAt: 1 }).execute();
    await never();
  });

  it('is cancelled with its jobs, and what was stored is discarded', async () => {
    await within((trx) => add(trx, { key: 'queued', task: 'hls', mediaId: id }));
    await within((trx) => add(trx, { key: 'other', task: 'hls', mediaId: 'another' }));
    const media = await row();
    expect(await within((trx) => cancelMedia(trx, media))).toMatchObject({ status: 'cancelled' });
    expect(await jobs()).toEqual([
      { key: `${id}:discard:1`, task: 'discard', status: 'queued' },
      { key: 'other', task: 'hls', status: 'queued' },
      { key: 'queued', task: 'hls', status: 'cancelled' },
    ]);
    expect(await within((trx) => cancelMedia(trx, media))).toBeUndefined();
    expect(await jobs()).toHaveLength(3);
  });

  it.each(['ready', 'failed', 'cancelled'])('is not cancelled when it is %s', async (status) => {
    await put(status);
    const media = await row();
    expect(await within((trx) => cancelMedia(trx, media))).toBeUndefined();
    expect(await jobs()).toEqual([]);
  });

  it('asks running jobs to stop when it is deleted, and is purged once', async () => {
    await within((trx) => add(trx, { key: 'running', task: 'hls', mediaId: id }));
    await claim(db, { worker: 'w', tasks: ['hls'], leaseMs: 60_000 });
    const media = await row();
    const answers = await Promise.all([1, 2].map(() => within((trx) => deleteMedia(trx, media))));
    expect(answers.sort()).toEqual([false, true]);
    expect((await row()).deletedAt).not.toBeNull();
    expect(
      await db.selectFrom('job').select(['task', 'status', 'cancelRequested']).orderBy('task').execute(),
    ).toEqual([
      { task: 'hls', status: 'running', cancelRequested: 1 },
      { task: 'purge', status: 'queued', cancelRequested: 0 },
    ]);
    expect(await events('media.deleted')).toHaveLength(1);
  });

  it('shows one output of a kind, the newest', async () => {
    const output = (kind: 'ladder' | 'poster', mediaAttempt: number): NewOutput => ({
      id: newOutputId(),
      mediaId: id,
      mediaAttempt,
      owner: 'ann',
      kind,
      prefix: `media/${id}/${mediaAttempt}/`,
      bytes: 3_000_000_000,
      details: { width: 1, height: 2, sizes: [], placeholder: 'data:' },
    });
    for (const next of [output('poster', 1), output('ladder', 1), output('poster', 2)])
      await within((trx) => publishOutput(trx, next));
    const rows = await db.selectFrom('output').selectAll().orderBy('kind').execute();
    expect(rows).toMatchObject([
      { kind: 'ladder', mediaAttempt: 1 },
      {
        kind: 'poster',
        mediaAttempt: 2,
        bytes: 3_000_000_000,
        details: '{"width":1,"height":2,"sizes":[],"placeholder":"data:"}',
      },
    ]);
    expect((await events('media.output')).map(({ told }) => told)).toEqual(
      ['poster', 'ladder', 'poster'].map((kind) => ({ kind, bytes: 3_000_000_000 })),
    );
  });

  it('takes its outputs along when its row goes', async () => {
    const output = {
      id: 'o',
      mediaId: id,
      mediaAttempt: 1,
      kind: 'ladder',
      prefix: 'p/',
      bytes: 1,
      details: '{}',
      createdAt: 1,
    };
    await db.insertInto('output').values(output).execute();
    await db.deleteFrom('media').execute();
    expect(await db.selectFrom('output').selectAll().execute()).toEqual([]);
  });
});
