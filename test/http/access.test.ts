/** Who may do what: every route, every verb. */
import request from 'supertest';
import { newId } from '../../server/ids.ts';
import { DIALECTS } from '../databases.ts';
import {
  type Answer,
  codeOf,
  makeJob,
  makeMedia,
  makeOutputs,
  openTestApp,
  streamOf,
  type TestApp,
} from './app.ts';

type Verb = 'get' | 'head' | 'post' | 'patch' | 'put' | 'delete';
type Who = keyof TestApp['as'];

/** Routes that name one thing; `{media}` and `{job}` are Ann's. The scope is what its owner needs. */
const THINGS: [Verb, string, 'read' | 'upload'][] = [
  ['get', '/api/media/{media}', 'read'],
  ['head', '/api/media/{media}', 'read'],
  ['patch', '/api/media/{media}', 'upload'],
  ['delete', '/api/media/{media}', 'upload'],
  ['post', '/api/media/{media}/retry', 'upload'],
  ['post', '/api/media/{media}/cancel', 'upload'],
  ['get', '/api/media/{media}/events', 'read'],
  ['head', '/api/media/{media}/events', 'read'],
  ['get', '/api/media/{media}/playback', 'read'],
  ['head', '/api/media/{media}/playback', 'read'],
  ['get', '/api/jobs/{job}', 'read'],
  ['head', '/api/jobs/{job}', 'read'],
  ['post', '/api/jobs/{job}/retry', 'upload'],
  ['post', '/api/jobs/{job}/cancel', 'upload'],
  ['get', '/media/{media}/hls/index.m3u8', 'read'],
  ['head', '/media/{media}/hls/index.m3u8', 'read'],
  ['get', '/media/{media}/hls/{stream}/360p/seg-00001.m4s', 'read'],
  ['head', '/media/{media}/hls/{stream}/360p/seg-00001.m4s', 'read'],
  ['get', '/media/{media}/poster.jpg', 'read'],
  ['head', '/media/{media}/poster.jpg', 'read'],
  ['get', '/media/{media}/poster.webp', 'read'],
  ['get', '/media/{media}/source', 'read'],
  ['head', '/media/{media}/source', 'read'],
];

/** Routes for admins alone. */
const ADMIN: [Verb, string][] = [
  ['get', '/api/keys'],
  ['post', '/api/keys'],
  ['delete', `/api/keys/${newId()}`],
  ['get', '/metrics'],
];

const LISTS = ['/api/media', '/api/jobs', '/api/jobs/counts', '/api/events'];

describe.each(DIALECTS)('access on %s', (dialect) => {
  let test: TestApp;
  let fill: (path: string) => string;
  beforeAll(async () => {
    test = await openTestApp(dialect);
    const media = await makeMedia(test.ctx);
    await makeOutputs(test.ctx, media);
    const job = await makeJob(test.ctx, media);
    fill = (path) =>
      path.replace('{media}', media.id).replace('{job}', job.id).replace('{stream}', streamOf(media));
  });
  afterAll(() => test.close());

  const ask = (verb: Verb, path: string, who?: Who) => {
    const asked = request(test.app)[verb](fill(path));
    return who ? asked.set(test.as[who]) : asked;
  };
  /** What an id that nobody has is answered: 404, and nothing that would differ for one that exists. */
  const absent = (verb: Verb, path: string, who?: Who) => ask(verb, path.replace(/\{\w+\}/, newId()), who);

  it.each(THINGS)('%s %s is 404 for another owner, exactly as if it did not exist', async (verb, path) => {
    const [foreign, missing] = [await ask(verb, path, 'bob'), await absent(verb, path, 'bob')];
    expect(foreign.status).toBe(404);
    expect(missing.status).toBe(404);
    const { requestId: _a, ...said } = foreign.body as Record<string, unknown>;
    const { requestId: _b, ...saidOfMissing } = missing.body as Record<string, unknown>;
    expect(said).toEqual(saidOfMissing);
  });

  it.each(THINGS)('%s %s is 401 for nobody, whether or not it exists', async (verb, path) => {
    expect((await ask(verb, path)).status).toBe(401);
    expect((await absent(verb, path)).status).toBe(401);
    const wrong = await request(test.app)[verb](fill(path)).set('Authorization', 'Bearer mr_wrong');
    expect(wrong.status).toBe(401);
  });

  it.each(THINGS)('%s %s needs its scope', async (verb, path, scope) => {
    const without = await ask(verb, path, scope === 'read' ? 'annUploads' : 'annReads');
    expect(without.status).toBe(403);
    if (verb !== 'head') expect(without.body).toMatchObject({ code: 'insufficient_scope', scope });
  });

  it.each(THINGS.filter(([verb, path]) => verb !== 'delete' && !path.endsWith('/events')))(
    '%s %s works for its owner and for admins',
    async (verb, path) => {
      for (const who of ['ann', 'admin'] as const) {
        const { status } = await ask(verb, path, who);
        expect([200, 400, 409]).toContain(status); // 400: PATCH without a body; 409: nothing to retry or cancel
      }
    },
  );

  it.each(ADMIN)('%s %s is for admins', async (verb, path) => {
    expect((await ask(verb, path)).status).toBe(401);
    expect((await ask(verb, path, 'ann')).status).toBe(403);
    expect([200, 400, 404]).toContain((await ask(verb, path, 'admin')).status);
  });

  it.each(LISTS)('GET %s needs the scope read', async (path) => {
    expect((await ask('get', path)).status).toBe(401);
    expect((await ask('get', path, 'annUploads')).status).toBe(403);
  });

  it('answers 405 with Allow to methods that a route does not have', async () => {
    for (const [verb, path, allow] of [
      ['put', '/api/media/{media}', 'GET, PATCH, DELETE, HEAD, OPTIONS'],
      ['get', '/api/media/{media}/retry', 'POST, OPTIONS'],
      ['delete', '/api/media', 'GET, HEAD, OPTIONS'],
      ['post', '/media/{media}/hls/index.m3u8', 'GET, HEAD, OPTIONS'],
      ['post', '/livez', 'GET, HEAD, OPTIONS'],
      ['post', '/watch/x', 'GET, HEAD, OPTIONS'],
    ] as const) {
      const { status, headers, body } = (await ask(verb, path, 'ann')) as Answer;
      expect([status, headers.allow, codeOf(body)]).toEqual([405, allow, 'method_not_allowed']);
    }
  });
});

it.each(DIALECTS)('lists show what is one’s own, on %s', async (dialect) => {
  const test = await openTestApp(dialect);
  const media = await makeMedia(test.ctx);
  await makeJob(test.ctx, media);
  const shown = async (path: string, who: Who) =>
    ((await request(test.app).get(path).set(test.as[who])).body as { items: unknown[] }).items.length;
  for (const path of ['/api/media', '/api/jobs', '/api/media?owner=ann', `/api/jobs?media=${media.id}`])
    expect([await shown(path, 'ann'), await shown(path, 'admin'), await shown(path, 'bob')]).toEqual([
      1, 1, 0,
    ]);
  const counts = await request(test.app).get('/api/jobs/counts').set(test.as.bob);
  expect(counts.body).toMatchObject({ queued: 0, tasks: {} });
  await test.close();
});
