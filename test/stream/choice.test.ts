/** Who encodes an upload, when its client may choose. */
import { startServer, type TestServer } from '../server.ts';
import { ACCOUNT, TOKEN } from '../stand-ins/stream/server.ts';
import { metadata, mediaIdOf } from '../tus.ts';
import { WEBHOOK_SECRET } from './harness.ts';

describe('the encoder of an upload', () => {
  let server: TestServer | undefined;
  afterEach(() => server?.dispose());

  const upload = (encoder?: string): Promise<Response> =>
    server!.fetch('/files', {
      method: 'POST',
      headers: {
        ...{ 'tus-resumable': '1.0.0', 'upload-length': '10' },
        'upload-metadata': metadata({ filename: 'a.mp4', ...(encoder === undefined ? {} : { encoder }) }),
      },
    });
  /** The encoder that the API shows of an upload just begun, or why it was refused. */
  async function chosen(encoder?: string): Promise<unknown> {
    const answer = await upload(encoder);
    if (answer.status !== 201) return [answer.status, ((await answer.json()) as { code: string }).code];
    const id = mediaIdOf(new URL(answer.headers.get('location') ?? '', server!.url).href);
    return ((await (await server!.fetch(`/api/media/${id}`)).json()) as { encoder: string }).encoder;
  }

  it('is one of those that the installation allows', async () => {
    server = await startServer({
      ...{ ENCODER_CHOICE: 'ffmpeg,stream', PUBLIC_URL: 'https://media.example.org' },
      ...{ STREAM_ACCOUNT_ID: ACCOUNT, STREAM_API_TOKEN: TOKEN, STREAM_WEBHOOK_SECRET: WEBHOOK_SECRET },
      STREAM_API_URL: 'http://127.0.0.1:9/client/v4', // nothing is sent before an upload is whole
    });
    expect(await chosen()).toBe('ffmpeg');
    expect(await chosen('stream')).toBe('stream');
    expect(await chosen('ffmpeg')).toBe('ffmpeg');
    expect(await chosen('both')).toEqual([400, 'encoder_not_allowed']);
    expect(await chosen('Stream')).toEqual([400, 'encoder_not_allowed']);
    const refused = await upload('vhs');
    expect(((await refused.json()) as { detail: string }).detail).toContain('ffmpeg, stream');
  });

  it('means nothing where there is no choice', async () => {
    server = await startServer();
    expect(await chosen('stream')).toBe('ffmpeg');
    expect(await chosen('vhs')).toBe('ffmpeg');
  });
});
