/** How many uploads an owner may have at once, and what is kept free for them, on both databases and from two servers. */
import { DIALECTS } from '../databases.ts';
import {
  openGround,
  patch,
  startEngine,
  tus,
  type Engine,
  type EngineOptions,
  type Ground,
} from './harness.ts';

describe.each(DIALECTS)('on %s', (dialect) => {
  let ground: Ground;
  let servers: Engine[] = [];
  beforeAll(async () => (ground = await openGround(dialect)));
  afterEach(async () => {
    for (const server of servers) await server.close();
    for (const table of ['upload', 'media'] as const) await ground.database.db.deleteFrom(table).execute();
  });
  afterAll(() => ground.close());

  async function start(env: Record<string, string>): Promise<(headers: Record<string, string>) => Made> {
    const options: EngineOptions = { env, ownConnection: dialect === 'postgres' };
    servers = [await startEngine(ground, options), await startEngine(ground, options)];
    let turn = 0;
    return async (headers) => {
      const answer = await tus('POST', servers[turn++ % 2]?.url ?? '', headers);
      return { status: answer.status, code: answer.code, url: answer.headers.get('location') ?? '' };
    };
  }
  type Made = Promise<{ status: number; code: string | undefined; url: string }>;

  it('no more than UPLOADS_PER_OWNER are unfinished, however they race', async () => {
    const create = await start({ UPLOADS_PER_OWNER: '3' });
    const single = { 'Upload-Length': '2' };
    const raced = await Promise.all([1, 2, 3, 4, 5, 6].map(() => create(single)));
    const [first, second, third, ...more] = raced.filter(({ status }) => status === 201);
    expect(more).toEqual([]);
    const refused = raced.filter(({ status }) => status !== 201);
    expect(refused.map(({ status, code }) => [status, code])).toEqual(
      [1, 2, 3].map(() => [429, 'too_many_uploads']),
    );
    expect((await create({ ...single, Authorization: 'Bearer bob' })).status).toBe(201);

    expect((await patch(first?.url ?? '', 0, 'ab')).status).toBe(204); // complete: one less
    const partial = { ...single, 'Upload-Concat': 'partial' };
    const part = await create(partial);
    expect(part.status).toBe(201);
    await patch(part.url, 0, 'ab'); // complete, but nothing is made of it yet
    expect((await create(single)).status).toBe(429);
    expect((await create({ 'Upload-Concat': `final;${part.url}` })).status).toBe(201); // is its part, and ends it
    await tus('DELETE', second?.url ?? '');
    expect((await create(single)).status).toBe(201);
    expect((await create(single)).status).toBe(201);
    expect((await create(single)).status).toBe(429);
    await tus('DELETE', third?.url ?? '');
    expect((await create(single)).status).toBe(201);
  });

  it('what unfinished uploads were announced to have is kept free for them', async () => {
    const create = await start({ UPLOAD_MAX_SIZE: '900TB' });
    const free = (await servers[0]?.storage.freeBytes()) ?? NaN;
    const most = { 'Upload-Length': String(Math.floor(free * 0.6)) };
    const raced = await Promise.all([1, 2, 3, 4].map(() => create(most)));
    const [taken, ...more] = raced.filter(({ status }) => status === 201);
    expect(more).toEqual([]);
    expect(raced.map(({ code }) => code).filter(Boolean)).toEqual(['disk_full', 'disk_full', 'disk_full']);

    expect((await patch(taken?.url ?? '', 0, 'abc')).status).toBe(204); // was announced
    const deferred = await create({ 'Upload-Defer-Length': '1' });
    expect((await patch(deferred.url, 0, 'abc')).status).toBe(204); // fits beside it
    const declared = await patch(deferred.url, 3, 'd', most);
    expect([declared.status, declared.code]).toEqual([507, 'disk_full']);
    const little = await create({ 'Upload-Length': '3' });
    expect((await patch(little.url, 0, 'abc')).status).toBe(204);

    await tus('DELETE', taken?.url ?? '');
    expect((await create(most)).status).toBe(201);
  });

  it.each([
    ['large', 'small', 201], // the first goes on as the final
    ['small', 'large', 507],
  ])('a final of a %s and a %s part leaves room: %i', async (...[first, second, status]) => {
    const create = await start({ UPLOAD_MAX_SIZE: '900TB' });
    const free = (await servers[0]?.storage.freeBytes()) ?? NaN;
    const part = async (size: string) =>
      create({
        'Upload-Concat': 'partial',
        'Upload-Length': size === 'large' ? String(Math.floor(free * 0.45)) : '3',
      });
    const paths = [await part(first), await part(second)].map(({ url }) => new URL(url).pathname);
    const final = await create({ 'Upload-Concat': `final;${paths.join(' ')}` });
    expect(final.status).toBe(201);
    expect((await create({ 'Upload-Length': String(Math.floor(free * 0.3)) })).status).toBe(status);
  });

  it('DISK_RESERVE=false looks at what has arrived only', async () => {
    const create = await start({ UPLOAD_MAX_SIZE: '900TB', DISK_RESERVE: 'false' });
    const free = (await servers[0]?.storage.freeBytes()) ?? NaN;
    const most = { 'Upload-Length': String(Math.floor(free * 0.6)) };
    expect((await create(most)).status).toBe(201);
    expect((await create(most)).status).toBe(201);
    expect((await create({ 'Upload-Length': String(Math.floor(free * 1.5)) })).code).toBe('disk_full');
  });

  it('a token may carry a quota of its own', async () => {
    const principal = { owner: 'eve', scopes: new Set(['upload' as const]), quota: 100 };
    const server = await startEngine(ground, { hooks: { authorize: () => Promise.resolve(principal) } });
    servers = [server];
    const over = await tus('POST', server.url, { 'Upload-Length': '101' });
    expect([over.status, over.code]).toEqual([413, 'quota_exceeded']);
    const fits = await tus('POST', server.url, { 'Upload-Defer-Length': '1' });
    const more = await patch(fits.headers.get('location') ?? '', 0, new Blob(['x'.repeat(101)]).stream());
    expect([more.status, more.code]).toEqual([413, 'quota_exceeded']);
  });
});
