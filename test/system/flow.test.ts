import { basename, dirname } from 'node:path';
import { readFile, rm } from 'node:fs/promises';
import { makeClip, realMedia } from '../media.ts';
import { startServer, type TestServer } from '../server.ts';
import { mediaIdOf, uploadFile } from '../tus.ts';
import { urlSessionUpload } from '../uploads/url-session.ts';
import { expectPlays, expectSameBytes, s3AndPostgres, settled, type Installation } from './flow.ts';

const INSTALLATIONS: [string, () => Promise<Installation>][] = [
  ['disk and SQLite', () => Promise.resolve({ env: {} })],
  ['S3 and PostgreSQL', s3AndPostgres],
];

describe.each(INSTALLATIONS)('upload, encode, watch on %s', (_name, open) => {
  let server: TestServer;
  let installation: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    installation = await open();
    server = await startServer(installation.env);
  });
  afterAll(async () => {
    await server?.dispose();
    await installation?.close?.();
  });

  it('plays a clip that ffmpeg made', async () => {
    const clip = await makeClip();
    const media = await check(clip);
    expect(media.playback?.poster).toBeDefined();
    await rm(dirname(clip), { recursive: true });
  });

  it('plays a clip that an app uploaded by the draft of the IETF', async () => {
    const clip = await makeClip();
    const headers = {
      Authorization: `Bearer ${server.adminKey}`,
      'Content-Disposition': 'inline; filename="from a phone.mp4"',
      'Content-Type': 'video/mp4',
    };
    const sent = await urlSessionUpload(`${server.url}/files`, await readFile(clip), { version: 8, headers });
    expect(sent.status).toBe(201);
    const media = await settled(server, mediaIdOf(sent.url));
    expect(media).toMatchObject({ status: 'ready', title: 'from a phone' });
    await expectSameBytes(server, media.id, clip);
    await expectPlays(server, media);
    await rm(dirname(clip), { recursive: true });
  });

  for (const path of realMedia())
    it(`plays a file from the world: ${basename(path)}`, () => check(path), 300_000);

  async function check(path: string) {
    const id = await uploadFile(server, path, { metadata: { filename: basename(path) } });
    const media = await settled(server, id);
    expect({ file: basename(path), status: media.status, error: media.error }).toEqual({
      file: basename(path),
      status: 'ready',
      error: undefined,
    });
    await expectSameBytes(server, id, path);
    await expectPlays(server, media);
    return media;
  }
});
