import request from 'supertest';
import { newId } from '../../server/ids.ts';
import { DIALECTS } from '../databases.ts';
import { makeMedia, openTestApp, type TestApp } from './app.ts';

describe.each(DIALECTS)('/api/usage on %s', (dialect) => {
  let test: TestApp;
  beforeEach(async () => (test = await openTestApp(dialect)));
  afterEach(() => test.close());

  const get = (path: string, who: keyof TestApp['as'] = 'ann') =>
    request(test.app).get(path).set(test.as[who]);

  async function upload(owner: string, columns: Partial<Columns>, deleted = false): Promise<void> {
    const partial = columns.kind === 'partial';
    const media = await makeMedia(test.ctx, { owner, deletedAt: deleted ? Date.now() : null });
    const now = Date.now();
    const row = { id: newId(), owner, key: 'k', epoch: 0, tailSize: 0, createdAt: now, updatedAt: now };
    await test.ctx.db
      .insertInto('upload')
      .values({
        ...row,
        ...{
          mediaId: partial ? null : media.id,
          kind: 'single',
          state: 'receiving',
          offset: 0,
          length: null,
        },
        ...columns,
      })
      .execute();
  }
  interface Columns {
    kind: string;
    state: string;
    offset: number;
    length: number | null;
  }

  beforeEach(async () => {
    await upload('ann', { state: 'complete', length: 1000, offset: 1000 });
    await upload('ann', { state: 'complete', length: 7777, offset: 7777 }, true); // deleted
    await upload('ann', { length: 500, offset: 20 });
    await upload('ann', { offset: 30 }); // length deferred
    await upload('ann', { kind: 'partial', state: 'complete', length: 4, offset: 4 });
    await upload('ann', { kind: 'final', length: 4, offset: 4 });
    await upload('ann', { state: 'terminated', length: 9999, offset: 1 });
    await upload('bob', { state: 'complete', length: 5_000_000_000, offset: 5_000_000_000 });
  });
  const ann = { owner: 'ann', stored: 1000, arriving: 534, unfinished: 3 };
  const bob = { owner: 'bob', stored: 5_000_000_000, arriving: 0, unfinished: 0 };

  it('tells everybody what is their own', async () => {
    const limits = { maxUploadSize: test.ctx.config.uploads.maxSize, unfinishedUploads: 1000 };
    for (const who of ['ann', 'annReads', 'annUploads'] as const)
      expect((await get('/api/usage', who)).body).toEqual({ ...ann, quota: null, limits });
    expect((await get('/api/usage', 'admin')).body).toMatchObject({
      owner: 'root',
      stored: 0,
      unfinished: 0,
    });
    test.ctx.config.uploads.quota = 2000;
    expect((await get('/api/usage', 'bob')).body).toEqual({ ...bob, quota: 2000, limits });
    expect((await request(test.app).get('/api/usage')).status).toBe(401);
  });

  it('tells administrators what everybody has, page by page', async () => {
    expect((await get('/api/usage/owners')).status).toBe(403);
    expect((await get('/api/usage/owners', 'admin')).body).toEqual({ items: [ann, bob] });
    const first = await get('/api/usage/owners?limit=1', 'admin');
    expect(first.body).toEqual({ items: [ann], nextCursor: 'ann' });
    expect((await get('/api/usage/owners?limit=1&cursor=ann', 'admin')).body).toEqual({ items: [bob] });
  });
});
