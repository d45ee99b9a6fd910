/** Starting, stopping and dying: nothing that was acknowledged is lost, and work goes on where it was. */
import { execa } from 'execa';
import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname } from 'node:path';
import { makeMedia } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { create, mediaIdOf, uploadFile } from '../tus.ts';
import { expectPlays, settled } from './flow.ts';

let server: TestServer;
afterEach(() => server?.dispose());

describe('the first start', () => {
  it('prints a link that logs in, once', async () => {
    server = await startServer({ ADMIN_KEY: '' });
    // It listens a moment before it prints.
    const [, key] = await eventually(() =>
      Promise.resolve(/http:\/\/localhost:\d+\/\?key=(\S+)/.exec(server.output()) ?? undefined),
    );
    const login = await fetch(`${server.url}/?key=${key}`, { redirect: 'manual' });
    expect(login.status).toBe(303);
    expect(login.headers.get('location')).not.toContain('key');
    const cookie = login.headers.get('set-cookie')!.split(';')[0]!;
    const me = await fetch(`${server.url}/api/me`, { headers: { cookie } });
    expect(await me.json()).toMatchObject({
      owner: 'admin',
      scopes: expect.arrayContaining(['admin']) as unknown,
    });

    expect(await server.stop()).toBe(0);
    const before = server.output().length;
    await server.restart();
    await eventually(() => Promise.resolve(server.output().slice(before).includes('Millrace is ready')));
    expect(server.output().slice(before)).not.toContain('?key=');
    const again = await fetch(`${server.url}/api/me`, { headers: { cookie } });
    expect(again.status).toBe(200);
  });

  it('says everything that is wrong with the configuration', async () => {
    await expect(startServer({ PORT: '1', STORAGE: 's3', LOG_LEVEL: 'loud' })).rejects.toThrow(/LOG_LEVEL/);
  });
});

describe('an upload', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'goes on after %s',
    async (signal) => {
      server = await startServer();
      const bytes = randomBytes(40 * 1024 * 1024);
      const created = await create(server, { 'upload-length': String(bytes.length) });
      const path = new URL(created.headers.get('location')!).pathname;
      const sending = patch(server, path, 0, bytes.subarray(0, 24 * 1024 * 1024)); // never sends its last bytes
      const acknowledged = 24 * 1024 * 1024; // what a silent client sent is committed within a second or two
      await eventually(async () => (await rowOffset(path)) === acknowledged);
      if (signal === 'SIGTERM') expect(await server.stop()).toBe(0);
      else await server.kill();
      sending.destroy();
      await server.restart();

      const offset = await headOffset(server, path);
      expect(offset).toBe(acknowledged);
      await new Promise<void>((resolve, reject) => {
        const rest = patch(server, path, offset, bytes.subarray(offset), bytes.length - offset);
        rest.on('response', (answer) => {
          answer.resume();
          if (answer.statusCode === 204) resolve();
          else reject(new Error(`PATCH answered ${answer.statusCode}`));
        });
        rest.on('error', reject);
      });
      const source = await server.fetch(`/media/${mediaIdOf(`http://x${path}`)}/source`);
      const stored = Buffer.from(await source.arrayBuffer());
      expect(sha256(stored)).toBe(sha256(bytes));

      async function rowOffset(at: string): Promise<number> {
        const media = await server.fetch(`/api/media/${mediaIdOf(`http://x${at}`)}`);
        return ((await media.json()) as { upload: { offset: number } }).upload.offset;
      }
    },
    300_000,
  );
});

describe('an encode', () => {
  let film: string;
  beforeAll(async () => {
    film = await makeMedia('long.mp4', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=960x540:rate=50:duration=30'],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p'],
    ]);
  });
  afterAll(() => rm(dirname(film), { recursive: true }));

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'goes on after %s, and no FFmpeg outlives the server',
    async (signal) => {
      server = await startServer({ JOB_LEASE: '10s', LADDER: '360', CHUNK_SECONDS: '0' });
      const id = await uploadFile(server, film);
      const job = await eventually(async () => {
        const hls = (await jobs(id)).find((j) => j.task === 'ladder');
        return hls?.status === 'running' && (hls.progress?.percent ?? 0) > 0 && hls;
      });
      if (signal === 'SIGTERM') expect(await server.stop()).toBe(0);
      else await server.kill();
      await eventually(async () => !(await ffmpegs()).includes(server.dataDir));

      await server.restart();
      const media = await settled(server, id);
      expect(media.status).toBe('ready');
      await expectPlays(server, media);
      const done = (await jobs(id)).find((j) => j.id === job.id)!;
      // A job that was handed back has not used up an attempt; one that was lost has.
      expect(done).toMatchObject({ status: 'succeeded', attempts: signal === 'SIGTERM' ? 1 : 2 });
    },
    300_000,
  );

  it('is stopped by a cancel, and leaves nothing', async () => {
    server = await startServer({ X264_PRESET: 'slower' });
    const id = await uploadFile(server, film);
    await eventually(async () => (await ffmpegs()).includes(server.dataDir));
    await eventually(async () => (await jobs(id)).some((j) => j.task === 'ladder' && j.status === 'running'));
    expect((await server.fetch(`/api/media/${id}/cancel`, { method: 'POST' })).status).toBe(200);
    await eventually(async () => !(await ffmpegs()).includes(server.dataDir));
    const media = await settled(server, id);
    expect(media).toMatchObject({ status: 'cancelled', playback: null });
    await eventually(async () =>
      (await jobs(id)).some((j) => j.task === 'discard' && j.status === 'succeeded'),
    );
    expect((await server.fetch(`/media/${id}/source`)).status).toBe(404);
  });
});

interface JobView {
  id: string;
  task: string;
  status: string;
  attempts: number;
  progress: { percent: number } | null;
}

async function jobs(mediaId: string): Promise<JobView[]> {
  return ((await (await server.fetch(`/api/jobs?media=${mediaId}`)).json()) as { items: JobView[] }).items;
}

/** Command lines of the ffmpeg processes of this machine. */
async function ffmpegs(): Promise<string> {
  const { stdout } = await execa('ps', ['-eo', 'args', '-ww']);
  return stdout
    .split('\n')
    .filter((line) => /(^|\/)ffmpeg /.test(line) || line.includes('bwrap'))
    .join('\n');
}

/** A PATCH that is still open when it returns: `length` may promise more than `body` has. */
function patch(
  to: TestServer,
  path: string,
  offset: number,
  body: Buffer,
  length = 40 * 1024 * 1024 - offset,
) {
  const sending = request(new URL(path, to.url), {
    method: 'PATCH',
    headers: {
      authorization: `Bearer ${to.adminKey}`,
      'tus-resumable': '1.0.0',
      'content-type': 'application/offset+octet-stream',
      'upload-offset': String(offset),
      'content-length': String(length),
    },
  });
  sending.on('error', () => undefined); // the server is killed under it
  sending.write(body);
  return sending;
}

async function headOffset(to: TestServer, path: string): Promise<number> {
  const answer = await to.fetch(path, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } });
  expect(answer.status).toBe(200);
  return Number(answer.headers.get('upload-offset'));
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
