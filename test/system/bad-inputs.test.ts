/** What people and attackers send: each gets its clear error, the server lives, and nothing is left behind. */
import { execa } from 'execa';
import { randomBytes } from 'node:crypto';
import { readFile, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { makeClip, makeMedia } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { create, mediaIdOf, metadata, uploadBytes } from '../tus.ts';
import { getMedia, settled } from './flow.ts';

let server: TestServer;
let clip: Buffer;
beforeAll(async () => {
  server = await startServer({ UPLOAD_MAX_SIZE: '50MB', MAX_DURATION: '60s' });
  clip = await readAndDelete(await makeClip(2));
});
afterAll(() => server?.dispose());

describe('files that are no media', () => {
  const notMedia = async (): Promise<[string, Buffer, string][]> => [
    ['an empty file', Buffer.alloc(0), 'empty_file'],
    ['text', Buffer.from('Dear diary, '.repeat(1000)), 'not_media'],
    ['random bytes', randomBytes(200_000), 'not_media'],
    ['a zip', await zip(), 'not_media'],
    ['a PNG', await png(64, 64), 'not_media'],
    ['a playlist that names a file', Buffer.from('#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n'), 'not_media'],
    ['a concat script', Buffer.from("ffconcat version 1.0\nfile '/etc/passwd'\n"), 'not_media'],
    ['the first half of an MP4 with its index last', clip.subarray(0, clip.length / 2), 'truncated'],
  ];

  it('fail with a code and a sentence', async () => {
    for (const [name, bytes, code] of await notMedia()) {
      const id = await uploadBytes(server, bytes, { filename: `${name}.mp4` });
      const media = await settled(server, id);
      expect({ name, status: media.status, code: media.error?.code }).toEqual({
        name,
        status: 'failed',
        code,
      });
      expect(media.error?.message).toMatch(/^[A-Z].{15,}\.$/s);
    }
  });

  it('a sound that is too long fails before it is encoded', async () => {
    const path = await makeMedia('long.flac', ['-f', 'lavfi', '-i', 'anullsrc=r=8000:cl=mono', '-t', '90']);
    const media = await settled(server, await uploadBytes(server, await readAndDelete(path)));
    expect(media.error?.code).toBe('too_long');
  });
});

describe('creations', () => {
  const length = { 'upload-length': '100' };
  const named = (value: Record<string, string>) => ({ ...length, 'upload-metadata': metadata(value) });
  const cases: [string, Record<string, string>, number, string][] = [
    ['no length', {}, 400, 'length_invalid'],
    ['a negative length', { 'upload-length': '-1' }, 400, 'header_invalid'],
    ['a length that is no number', { 'upload-length': '1e3' }, 400, 'header_invalid'],
    ['a length beyond the limit', { 'upload-length': String(50 * 1024 ** 2 + 1) }, 413, 'upload_too_large'],
    ['a length beyond integers', { 'upload-length': '9'.repeat(30) }, 400, 'header_invalid'],
    ['huge metadata', named({ filename: 'x'.repeat(20_000) }), 413, 'metadata_too_large'],
    [
      'metadata that is not base64',
      { ...length, 'upload-metadata': 'filename %%%' },
      400,
      'metadata_invalid',
    ],
    ['a visibility nobody knows', named({ visibility: 'everyone' }), 400, 'metadata_invalid'],
    ['no key', { ...length, authorization: '' }, 401, 'unauthorized'],
    ['a wrong key', { ...length, authorization: 'Bearer mr_wrong' }, 401, 'invalid_key'],
    ['another protocol version', { ...length, 'tus-resumable': '0.2.2' }, 412, 'tus_version_unsupported'],
  ];
  it.each(cases)('%s', async (_name, headers, status, code) => {
    const before = await countMedia();
    const answer = await create(server, headers);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    const requestId = answer.headers.get('x-request-id');
    expect(await answer.json()).toMatchObject({ code, requestId });
    expect(await countMedia()).toBe(before);
  });

  it.each([
    '../../etc/passwd',
    '..\\..\\boot.ini',
    '/etc/passwd',
    'a\0b.mp4',
    '\u202Egpj.exe',
    'x'.repeat(2000),
    '',
  ])('keeps the file name %j away from paths', async (filename) => {
    const answer = await create(server, { 'upload-length': '4', 'upload-metadata': metadata({ filename }) });
    expect(answer.status).toBe(201);
    const id = mediaIdOf(answer.headers.get('location')!);
    const shown = ((await (await server.fetch(`/api/media/${id}`)).json()) as { filename: string | null })
      .filename;
    // eslint-disable-next-line no-control-regex -- these are what must not be there
    expect(shown ?? '').not.toMatch(/[/\\\u0000-\u001f\u202a-\u202e]/);
    expect(Buffer.byteLength(shown ?? '')).toBeLessThanOrEqual(255);
    await remove(id);
  });
});

describe('chunks', () => {
  const patch = (id: string, headers: Record<string, string>, body?: Buffer) =>
    server.fetch(`/files/${id}`, {
      method: 'PATCH',
      headers: {
        'tus-resumable': '1.0.0',
        'content-type': 'application/offset+octet-stream',
        'upload-offset': '0',
        ...headers,
      },
      ...(body ? { body } : {}),
    });
  const cases: [string, Record<string, string>, Buffer, number][] = [
    ['a wrong offset', { 'upload-offset': '5' }, Buffer.alloc(10), 409],
    ['an offset that is no number', { 'upload-offset': 'abc' }, Buffer.alloc(10), 400],
    ['a wrong content type', { 'content-type': 'text/plain' }, Buffer.alloc(10), 415],
    ['more bytes than were announced', {}, Buffer.alloc(101), 413],
    ['no key', { authorization: '' }, Buffer.alloc(10), 401],
  ];
  it.each(cases)('%s', async (_name, headers, body, status) => {
    const created = await create(server, { 'upload-length': '100' });
    const id = mediaIdOf(created.headers.get('location')!);
    expect((await patch(id, headers, body)).status).toBe(status);
    expect((await getMedia(server, id)).upload.offset).toBeLessThan(100);
    await remove(id);
  });

  it.each(['nothing', '..%2f..%2fetc%2fpasswd', '00000000-0000-7000-8000-000000000000', '%00', '%'])(
    'an address without an upload: %s',
    async (id) => {
      const answer = await patch(id, {}, Buffer.alloc(1));
      expect([400, 404]).toContain(answer.status);
    },
  );
});

describe('requests to the API', () => {
  const json = { 'content-type': 'application/json' };
  const cases: [string, string, RequestInit, number, string][] = [
    ['an unknown media', '/api/media/00000000-0000-7000-8000-000000000000', {}, 404, 'not_found'],
    ['an id that is none', '/api/media/..%2f..%2fx', {}, 404, 'not_found'],
    ['an unknown route', '/api/nothing', {}, 404, 'not_found'],
    ['broken JSON', '/api/keys', { method: 'POST', headers: json, body: '{"a":' }, 400, 'invalid_json'],
    ['a wrong method', '/api/media', { method: 'PUT' }, 405, 'method_not_allowed'],
    [
      'a path out of the output',
      '/media/00000000-0000-7000-8000-000000000000/hls/..%2f..%2fsource',
      {},
      404,
      'not_found',
    ],
  ];
  it.each(cases)('%s', async (_name, path, init, status, code) => {
    const answer = await server.fetch(path, init);
    expect(answer.status).toBe(status);
    expect(((await answer.json()) as { code: string }).code).toBe(code);
  });
});

it('lives, still works, and keeps nothing of what was deleted', async () => {
  const good = await settled(server, await uploadBytes(server, clip));
  expect(good.status).toBe('ready');
  for (const { id } of await listMedia()) await remove(id);
  await eventually(async () => (await left()).length === 0).catch(async () =>
    expect(await left()).toEqual([]),
  );
});

async function remove(id: string): Promise<void> {
  expect((await server.fetch(`/api/media/${id}`, { method: 'DELETE' })).status).toBe(204);
}

/** Files of uploads, media and scratch that are in the data folder. */
async function left(): Promise<string[]> {
  const entries = await readdir(server.dataDir, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => error.path ?? 'a folder', // deleted while it was read
  );
  if (typeof entries === 'string') return [`${entries} was being deleted`];
  return entries
    .filter((e) => e.isFile() && !e.name.startsWith('millrace.db'))
    .map((e) => join(e.parentPath, e.name));
}

async function listMedia(): Promise<{ id: string }[]> {
  return ((await (await server.fetch('/api/media?limit=100')).json()) as { items: { id: string }[] }).items;
}

const countMedia = async (): Promise<number> => (await listMedia()).length;

const png = (width: number, height: number): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 3, background: 'red' } })
    .png()
    .toBuffer();

async function zip(): Promise<Buffer> {
  const script =
    "import io,zipfile,sys;b=io.BytesIO();z=zipfile.ZipFile(b,'w');z.writestr('a.txt','x'*5000);z.close();sys.stdout.buffer.write(b.getvalue())";
  const made = await execa('python3', ['-c', script], { encoding: 'buffer' }).catch(() => undefined);
  // Without Python: an empty archive, which is its end record alone.
  return made ? Buffer.from(made.stdout) : Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(18)]);
}

async function readAndDelete(path: string): Promise<Buffer> {
  const bytes = await readFile(path);
  await rm(dirname(path), { recursive: true });
  return bytes;
}
