/** Several processes on one PostgreSQL and one bucket: which one answers makes no difference. */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeClip } from '../media.ts';
import { startServer, type TestServer } from '../server.ts';
import { create, mediaIdOf } from '../tus.ts';
import { expectPlays, s3AndPostgres, settled, type Installation } from './flow.ts';

let installation: Installation;
let first: TestServer;
let second: TestServer;
let worker: TestServer;
beforeAll(async () => {
  installation = await s3AndPostgres();
  // Together, on an empty database: one of them makes the tables and the secret, the others wait for it.
  [first, second, worker] = (await Promise.all(
    ['server', 'server', 'worker'].map((role) => startServer({ ...installation.env, ROLE: role })),
  )) as [TestServer, TestServer, TestServer];
});
afterAll(async () => {
  await Promise.all([first, second, worker].map((server) => server?.dispose()));
  await installation?.close?.();
});

const patch = (to: TestServer, id: string, offset: number, body: Buffer): Promise<Response> =>
  to.fetch(`/files/${id}`, {
    method: 'PATCH',
    headers: {
      'tus-resumable': '1.0.0',
      'content-type': 'application/offset+octet-stream',
      'upload-offset': String(offset),
    },
    body,
  });

it('uploads through both servers, encodes in the worker, plays from either', async () => {
  const path = await makeClip(4, '640x360');
  const bytes = await readFile(path);
  await rm(dirname(path), { recursive: true });
  const third = Math.floor(bytes.length / 3);

  const created = await create(first, { 'upload-length': String(bytes.length) });
  const id = mediaIdOf(created.headers.get('location')!);
  expect((await patch(first, id, 0, bytes.subarray(0, third))).status).toBe(204);
  expect((await patch(second, id, third, bytes.subarray(third, 2 * third))).status).toBe(204);
  await first.kill();
  const head = await second.fetch(`/files/${id}`, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } });
  expect(head.headers.get('upload-offset')).toBe(String(2 * third));
  expect((await patch(second, id, 2 * third, bytes.subarray(2 * third))).status).toBe(204);

  const media = await settled(second, id);
  expect(media).toMatchObject({ status: 'ready' });
  await first.restart();
  await expectPlays(second, media);
  await expectPlays(first, media); // the link that the second one signed
  const source = Buffer.from(await (await first.fetch(`/media/${id}/source`)).arrayBuffer());
  expect(sha256(source)).toBe(sha256(bytes));
});

it('tells of a change on one server through the events of the other', async () => {
  const stop = new AbortController();
  const stream = await second.fetch('/api/events', { signal: stop.signal });
  const created = await create(first, { 'upload-length': '5' });
  const id = mediaIdOf(created.headers.get('location')!);
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of stream.body!) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.includes('media.created') && text.includes(id)) break;
  }
  stop.abort();
  expect(text).toMatch(/^id: \d+$/m);
});

it('answers of a worker are about its health only', async () => {
  expect((await worker.fetch('/readyz')).status).toBe(200);
  expect((await worker.fetch('/api/media')).status).toBe(404);
});

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
