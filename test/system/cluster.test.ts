/** WEB_CONCURRENCY: several processes on one port. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { eventually, startServer, type TestServer } from '../server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ WEB_CONCURRENCY: '3', DISK_FLOOR: '0' });
});
afterAll(() => server.dispose());

interface Answer {
  status: number | undefined;
  location: string | undefined;
  offset: number;
}

/** One request on a connection of its own, so that any process may take it. */
async function tus(
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: Buffer,
): Promise<Answer> {
  const { port } = new URL(server.url);
  const outgoing = request({
    ...{ host: '127.0.0.1', port, method, path, agent: false },
    headers: { 'Tus-Resumable': '1.0.0', Authorization: `Bearer ${server.adminKey}`, ...headers },
  });
  outgoing.setTimeout(60_000, () => outgoing.destroy(new Error('no answer')));
  outgoing.end(body);
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  answer.resume();
  await once(answer, 'close');
  const { location } = answer.headers;
  return { status: answer.statusCode, location, offset: Number(answer.headers['upload-offset']) };
}

const patch = (path: string, offset: number, body: Buffer): Promise<Answer> =>
  tus(
    'PATCH',
    path,
    { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' },
    body,
  );

async function create(length: number): Promise<string> {
  const answer = await tus('POST', '/files', { 'Upload-Length': String(length) });
  expect(answer.status).toBe(201);
  return new URL(answer.location ?? '').pathname;
}

/** Process ids of those that serve, whose data folder is the server's. */
const children = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return (
          environment.includes(`DATA_DIR=${server.dataDir}`) &&
          environment.includes('MILLRACE_PROCESS_NUMBER=')
        );
      } catch {
        return false; // it ended meanwhile
      }
    });

it('takes the requests of one upload in all processes, while one after the other is killed', async () => {
  const bytes = randomBytes(1024 * 1024);
  const path = await create(bytes.length);
  const step = 64 * 1024;
  const killed = await eventually(async () => children().length === 3 && children());
  for (let offset = 0; offset < bytes.length;) {
    const victim = offset % (4 * step) === 0 ? killed.pop() : undefined;
    if (victim !== undefined) process.kill(victim, 'SIGKILL');
    // A connection that the dead process had is reset; the next one finds another.
    const answer = await patch(path, offset, bytes.subarray(offset, offset + step)).catch(() => undefined);
    if (answer?.status === 204) expect((offset = answer.offset)).toBeLessThanOrEqual(bytes.length);
    else ({ offset } = await eventually(() => standing(path)));
  }
  const id = path.split('/').at(-1) ?? '';
  expect(bytes.equals(await readFile(join(server.dataDir, 'media', id, 'source')))).toBe(true);
  await eventually(async () => children().length === 3);
});

async function standing(path: string): Promise<Answer | undefined> {
  const answer = await tus('HEAD', path, {}).catch(() => undefined);
  return answer?.status === 200 ? answer : undefined;
}

it('leaves no new connection to a process that stands still', async () => {
  const all = await eventually(async () => children().length === 3 && children());
  const still = all.slice(1);
  for (const pid of still) process.kill(pid, 'SIGSTOP');
  try {
    for (let i = 0; i < 12; i++) expect((await tus('GET', '/livez', {})).status).toBe(200);
  } finally {
    for (const pid of still) process.kill(pid, 'SIGCONT');
  }
});

it('answers metrics of all processes together', async () => {
  const metrics = await eventually(async () => {
    const text = await (await server.fetch('/metrics')).text();
    return text.includes('millrace_http_request_duration_seconds_count') && text;
  });
  // Rows are counted once, not once per process.
  expect(metrics).toMatch(/^millrace_media\{status="\w+"\} 1$/m);
});

it('drains all processes, one that is just starting too, and leaves none behind when the first one is killed', async () => {
  process.kill((await eventually(async () => children().length === 3 && children())).at(-1)!, 'SIGKILL');
  await eventually(async () => children().length === 2);
  const before = await eventually(async () => children().length === 3 && children());
  expect(await server.stop()).toBe(0);
  expect(before.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  await server.restart();
  const after = await eventually(async () => children().length === 3 && children());
  await server.kill();
  await eventually(async () => after.every((pid) => !existsSync(`/proc/${pid}`)));
});
