/** Clients of the IETF's draft on a bad network, on disk and S3, with two servers behind one address. */
import { execa } from 'execa';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Upload, type UploadOptions } from 'tus-js-client';
import { startCuttingProxy, type CuttingProxy } from './cutting-proxy.ts';
import {
  idOf,
  openGround,
  sha256,
  startEngine,
  type Engine,
  type Ground,
  type StorageName,
  useEngine,
} from './harness.ts';
import { seededRandom, type Random } from './random.ts';
import { urlSessionUpload, type UrlSessionOptions } from './url-session.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(13 * MiB + 789);
const AUTHORIZATION = { Authorization: 'Bearer alice' };

/** Its types don't name it. */
type DraftOptions = Partial<UploadOptions> & { protocol: 'ietf-draft-03' | 'ietf-draft-05' };

/** tus-js-client, told to speak the draft. */
function tusJsClient(endpoint: string, options: DraftOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const upload = new Upload(bytes, {
      endpoint,
      headers: AUTHORIZATION,
      retryDelays: Array.from({ length: 200 }, () => 5),
      ...options,
      onError: reject,
      onSuccess: () => resolve(upload.url ?? ''),
    });
    upload.start();
  });
}

describe.each<StorageName>(['disk', 's3'])('on %s, over connections that break', (storage) => {
  let ground: Ground;
  let servers: Engine[];
  let proxy: CuttingProxy;
  let random: Random;
  let endpoint: string;

  beforeAll(async () => {
    random = seededRandom(`draft clients on ${storage}`);
    ground = await openGround('sqlite', storage);
    servers = [await startEngine(ground), await startEngine(ground)];
    const target = (): number => servers[random.between(0, 1)]?.port ?? 0;
    proxy = await startCuttingProxy(target, random, { min: 100_000, max: 6 * MiB });
    endpoint = `http://127.0.0.1:${proxy.port}/files`;
  });
  afterAll(async () => {
    await proxy?.close();
    for (const server of servers ?? []) await server.close();
    await ground?.close();
  });

  async function expectFile(url: string): Promise<void> {
    expect(await servers[0]?.digest(idOf(url))).toBe(sha256(bytes));
    const finished = servers.flatMap((server) => server.finished).filter((id) => id === idOf(url));
    expect(finished).toHaveLength(1);
  }

  it.each<[string, Partial<UploadOptions>]>([
    ['whole', { chunkSize: Infinity }],
    ['in parts', { chunkSize: 3 * MiB }],
    ['with the first bytes in the creation', { uploadDataDuringCreation: true, chunkSize: 2 * MiB }],
  ])('tus-js-client, %s', async (_name, options) => {
    for (const protocol of ['ietf-draft-03', 'ietf-draft-05'] as const)
      await expectFile(await tusJsClient(endpoint, { protocol, ...options }));
  });

  it.each<UrlSessionOptions['version']>([3, 5, 6, 8])('URLSession, interop version %i', async (version) => {
    let made = await once();
    for (let tasks = 1; made instanceof Error && tasks < 20; tasks++) made = await once();
    if (made instanceof Error) throw made;
    expect({ ...made, taken: made.status < 300 }).toMatchObject({ taken: true }); // or it shows the answer
    await expectFile(made.url);

    /** One task of the app; it makes a new one when a task failed. */
    function once() {
      const headers = { ...AUTHORIZATION, 'Idempotency-Key': `${storage} ${version}` };
      return urlSessionUpload(endpoint, bytes, { version, headers }).catch(
        (error: unknown) => error as Error,
      );
    }
  });

  it('had connections broken', () => expect(proxy.cuts()).toBeGreaterThan(5));
});

describe('curl', () => {
  const stage = useEngine();

  const curl = async (...args: string[]): Promise<string> => {
    const common = [
      '-sS',
      '-i',
      '-H',
      'Authorization: Bearer alice',
      '-H',
      'Upload-Draft-Interop-Version: 8',
    ];
    return (await execa('curl', [...common, ...args])).stdout;
  };

  it('uploads a file, in one request and in two', async () => {
    const file = join(stage.ground.database.dir, 'film.mp4');
    const rest = join(stage.ground.database.dir, 'rest');
    await writeFile(file, bytes);
    await writeFile(rest, bytes.subarray(4 * MiB));
    const whole = await curl('-H', 'Upload-Complete: ?1', '--data-binary', `@${file}`, stage.engine.url);
    expect(whole).toMatch(/HTTP\/1.1 104 Upload Resumption Supported\r?\n[^]*HTTP\/1.1 201 Created\r?\n/);
    const { id } = JSON.parse(whole.split(/\r?\n/).at(-1) ?? '') as { id: string };
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));

    await writeFile(file, bytes.subarray(0, 4 * MiB));
    const begun = await curl('-H', 'Upload-Complete: ?0', '--data-binary', `@${file}`, stage.engine.url);
    const [, url = ''] = /^Location: (\S+)/im.exec(begun) ?? [];
    expect(await curl('-I', url)).toMatch(/204 No Content[^]*upload-offset: 4194304/i);
    const type = 'Content-Type: application/partial-upload';
    const at = 'Upload-Offset: 4194304';
    const ended = await curl(
      '-X',
      'PATCH',
      '-H',
      type,
      '-H',
      at,
      '-H',
      'Upload-Complete: ?1',
      '--data-binary',
      `@${rest}`,
      url,
    );
    expect(ended).toMatch(/201 Created/);
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes));
  });
});
