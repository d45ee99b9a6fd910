/**
 * Every sentence of tus 1.0.0 that says what a server MUST or SHOULD do, in its order. What clients must do is not here, but
 * where a server has to see to it.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { eventually } from '../server.ts';
import {
  idOf,
  createUpload,
  keysOf,
  metadata,
  offsetOf,
  patch,
  sha256,
  startEngine,
  tus,
  useEngine,
} from './harness.ts';
import { startPatch } from './requests.ts';

const stage = useEngine('disk', { env: { UPLOAD_MAX_SIZE: '1MB' } });
const bytes = randomBytes(300);
const UNKNOWN = '00000000-0000-7000-8000-000000000000';
const unknown = (): string => `${stage.engine.url}/${UNKNOWN}`;
const post = (headers: Record<string, string | undefined>, body?: Buffer) =>
  tus('POST', stage.engine.url, headers, body);
const extensions = async (): Promise<string[]> =>
  (await tus('OPTIONS', stage.engine.url)).headers.get('tus-extension')?.split(',') ?? [];
const head = async (url: string): Promise<Record<string, string>> => {
  const answer = await tus('HEAD', url);
  expect(answer.status).toBe(200);
  return Object.fromEntries(answer.headers);
};

/** A partial upload with these bytes, of which only some were sent. */
async function partial(body: Buffer, sent = body.length): Promise<string> {
  const { url } = await createUpload(stage.engine, body.length, {
    'Upload-Concat': 'partial',
    'Upload-Metadata': metadata({ filename: 'partial.mp4' }),
  });
  if (sent) expect((await patch(url, 0, body.subarray(0, sent))).status).toBe(204);
  return url;
}
const join = (...urls: string[]) => post({ 'Upload-Concat': `final;${urls.join(' ')}` });

type Sentence = [section: string, sentence: string, holds: () => Promise<void>];

const CORE: Sentence[] = [
  [
    'Upload-Offset',
    'The value MUST be a non-negative integer',
    async () => {
      const { url } = await createUpload(stage.engine, 10);
      for (const value of ['-1', '1.5', 'x', '0x0'])
        expect([value, (await patch(url, 0, 'abc', { 'Upload-Offset': value })).status]).toEqual([
          value,
          400,
        ]);
      expect((await head(url))['upload-offset']).toBe('0');
    },
  ],
  [
    'Upload-Length',
    'The value MUST be a non-negative integer',
    async () => {
      for (const value of ['-1', '1.5', 'x', '0x10', '1e3'])
        expect([value, (await post({ 'Upload-Length': value })).status]).toEqual([value, 400]);
    },
  ],
  [
    'Tus-Version',
    "MUST be a comma-separated list of protocol versions, sorted by Server's preference",
    async () => expect((await tus('OPTIONS', stage.engine.url)).headers.get('tus-version')).toBe('1.0.0'),
  ],
  [
    'Tus-Resumable',
    'MUST be included in every response except for OPTIONS',
    async () => {
      const { url } = await createUpload(stage.engine, 10);
      const answers = [
        await post({ 'Upload-Length': '1' }),
        await post({ 'Upload-Length': '-1' }),
        await post({ 'Upload-Length': '1', Authorization: undefined }),
        await tus('HEAD', url),
        await tus('HEAD', unknown()),
        await patch(url, 0, 'abc'),
        await patch(url, 9, 'abc'),
        await tus('PUT', url),
        await tus('DELETE', url),
        await tus('DELETE', url),
      ];
      expect(answers.map(({ status }) => status)).toEqual([201, 400, 401, 200, 404, 204, 409, 405, 204, 410]);
      for (const { headers } of answers) expect(headers.get('tus-resumable')).toBe('1.0.0');
    },
  ],
  [
    'Tus-Resumable',
    'If the version is not supported, MUST respond with 412 and Tus-Version, and MUST NOT process the request',
    async () => {
      const { url, id } = await createUpload(stage.engine, 10);
      const { count } = await uploads();
      for (const version of ['0.2.2', undefined]) {
        const other = { 'Tus-Resumable': version };
        const answers = [
          await post({ 'Upload-Length': '5', ...other }),
          await tus('PATCH', url, { 'Upload-Offset': '0', ...other }, 'abc'),
          // Without a version these two are the IETF's.
          ...(version ? [await tus('DELETE', url, other), await tus('HEAD', url, other)] : []),
        ];
        for (const { status, headers } of answers)
          expect([status, headers.get('tus-version')]).toEqual([412, '1.0.0']);
      }
      expect(await uploads()).toEqual({ count });
      expect(await stage.engine.row(id)).toMatchObject({ state: 'receiving', offset: 0 });
    },
  ],
  [
    'Tus-Extension',
    'MUST be a comma-separated list of the extensions supported by the Server',
    async () =>
      expect((await extensions()).sort()).toEqual([
        'checksum',
        'checksum-trailer',
        'concatenation',
        'concatenation-unfinished',
        'creation',
        'creation-defer-length',
        'creation-with-upload',
        'expiration',
        'termination',
      ]),
  ],
  [
    'Tus-Max-Size',
    'MUST be a non-negative integer; SHOULD be set if there is a known hard limit',
    async () => expect((await tus('OPTIONS', stage.engine.url)).headers.get('tus-max-size')).toBe('1048576'),
  ],
  [
    'X-HTTP-Method-Override',
    "MUST be interpreted as the request's method; the actual method MUST be ignored",
    async () => {
      const { url } = await createUpload(stage.engine, 10);
      const as = (method: string) => ({ 'X-HTTP-Method-Override': method });
      const sent = await tus('POST', url, { 'Upload-Offset': '0', ...as('PATCH') }, 'abc');
      expect([sent.status, offsetOf(sent)]).toEqual([204, 3]);
      expect(offsetOf(await tus('DELETE', url, as('HEAD')))).toBe(3);
      expect((await tus('POST', url, as('DELETE'))).status).toBe(204);
      expect((await tus('HEAD', url)).status).toBe(410);
    },
  ],
  [
    'HEAD',
    'MUST always include Upload-Offset, even if it is 0 or the upload is completed; Upload-Length if it is known',
    async () => {
      const { url } = await createUpload(stage.engine, bytes.length);
      expect(await head(url)).toMatchObject({ 'upload-offset': '0', 'upload-length': '300' });
      await patch(url, 0, bytes);
      expect(await head(url)).toMatchObject({ 'upload-offset': '300', 'upload-length': '300' });
    },
  ],
  [
    'HEAD',
    'If the resource is not found, SHOULD return 404, 410 or 403 without Upload-Offset',
    async () => {
      const { url } = await createUpload(stage.engine, 10);
      await tus('DELETE', url);
      for (const [at, status] of [
        [unknown(), 404],
        [url, 410],
      ] as const) {
        const answer = await tus('HEAD', at);
        expect([answer.status, answer.headers.get('upload-offset')]).toEqual([status, null]);
      }
    },
  ],
  [
    'HEAD',
    'MUST prevent caching by Cache-Control: no-store',
    async () => {
      const { url } = await createUpload(stage.engine, 10);
      expect((await head(url))['cache-control']).toBe('no-store');
    },
  ],
  [
    'PATCH',
    'SHOULD apply the bytes at the given offset; MUST acknowledge with 204 and the sum of offset and bytes',
    async () => {
      const { url, id } = await createUpload(stage.engine, bytes.length);
      for (const [from, to] of [
        [0, 1],
        [1, 1],
        [1, 299],
        [299, 300],
      ] as const) {
        const answer = await patch(url, from, bytes.subarray(from, to));
        expect([answer.status, answer.headers.get('upload-offset')]).toEqual([204, String(to)]);
      }
      expect(await stage.engine.digest(id)).toBe(sha256(bytes));
    },
  ],
  [
    'PATCH',
    'MUST use application/offset+octet-stream, otherwise the server SHOULD return 415',
    async () => {
      const { url } = await createUpload(stage.engine, 10);
      for (const type of ['text/plain', 'application/octet-stream'])
        expect((await patch(url, 0, 'abc', { 'Content-Type': type })).status).toBe(415);
      expect((await head(url))['upload-offset']).toBe('0');
    },
  ],
  [
    'PATCH',
    'If the offsets do not match, MUST respond with 409 without modifying the upload',
    async () => {
      const { url, id } = await createUpload(stage.engine, 10);
      await patch(url, 0, 'abc');
      for (const offset of [0, 2, 4, 10]) expect((await patch(url, offset, 'x')).status).toBe(409);
      await patch(url, 3, 'defghij');
      expect(await stage.engine.digest(id)).toBe(sha256(Buffer.from('abcdefghij')));
    },
  ],
  [
    'PATCH',
    'against a non-existent resource SHOULD return 404',
    async () => expect((await patch(unknown(), 0, 'abc')).status).toBe(404),
  ],
  [
    'PATCH',
    'A timeout SHOULD be handled by closing the connection; SHOULD store as much of the received data as possible',
    async () => {
      const impatient = await startEngine(stage.ground, { env: { UPLOAD_IDLE_TIMEOUT: '300ms' } });
      const { url, id } = await createUpload(impatient, 10);
      const socket = await startPatch(impatient.port, id, 0, 10, Buffer.from('abc'));
      socket.resume();
      await once(socket, 'close');
      expect((await head(url))['upload-offset']).toBe('3');
      await impatient.close();
    },
  ],
  [
    'OPTIONS',
    'MUST contain Tus-Version; MUST ignore Tus-Resumable',
    async () => {
      for (const version of [undefined, '1.0.0', '9.9.9']) {
        const { status, headers } = await tus('OPTIONS', stage.engine.url, { 'Tus-Resumable': version });
        expect([status, headers.get('tus-version')]).toEqual([204, '1.0.0']);
      }
    },
  ],
];

const CREATION: Sentence[] = [
  [
    'Upload-Defer-Length',
    'Its value MUST be 1, else 400; if the length is not deferred, the header MUST be omitted',
    async () => {
      for (const value of ['0', '2', 'true'])
        expect((await post({ 'Upload-Defer-Length': value })).status).toBe(400);
      const { url } = await createUpload(stage.engine, 10);
      expect((await head(url))['upload-defer-length']).toBeUndefined();
    },
  ],
  [
    'Upload-Metadata',
    'MUST consist of pairs separated by commas, a key and a Base64 value separated by a space, all keys unique',
    async () => {
      for (const value of [
        'a !!',
        'a YQ',
        ', YQ==',
        'a YQ==,a YQ==',
        'a YQ== YQ==',
        'ä YQ==',
        'a YQ==,,b YQ==',
      ])
        expect([value, (await post({ 'Upload-Length': '1', 'Upload-Metadata': value })).status]).toEqual([
          value,
          400,
        ]);
      for (const value of ['empty', 'empty ', 'a YQ==,empty,b YmI='])
        expect([value, (await post({ 'Upload-Length': '1', 'Upload-Metadata': value })).status]).toEqual([
          value,
          201,
        ]);
    },
  ],
  [
    'Upload-Metadata',
    'SHOULD carefully validate metadata values to avoid header smuggling',
    async () => {
      const sent = metadata({ filename: 'a\r\nX-Smuggled: 1"/../b.mp4' });
      const { url, id } = await createUpload(stage.engine, 10, { 'Upload-Metadata': sent });
      const headers = await head(url);
      expect([headers['upload-metadata'], headers['x-smuggled']]).toEqual([sent, undefined]);
      expect((await stage.engine.media(id)).filename).toBe('b.mp4');
    },
  ],
  [
    'POST',
    'The request MUST include Upload-Length or Upload-Defer-Length: 1',
    async () => {
      expect((await post({})).status).toBe(400);
      expect((await post({ 'Upload-Length': '1', 'Upload-Defer-Length': '1' })).status).toBe(400);
    },
  ],
  [
    'POST',
    'As long as the length is not known, MUST set Upload-Defer-Length: 1; once set the length MUST NOT be changed',
    async () => {
      const url = (await post({ 'Upload-Defer-Length': '1' })).headers.get('location') ?? '';
      expect(await head(url)).toMatchObject({ 'upload-defer-length': '1', 'upload-offset': '0' });
      await patch(url, 0, 'abc');
      expect((await head(url))['upload-defer-length']).toBe('1');
      expect((await patch(url, 3, 'd', { 'Upload-Length': '5' })).status).toBe(204);
      const known = await head(url);
      expect([known['upload-length'], known['upload-defer-length']]).toEqual(['5', undefined]);
      expect((await patch(url, 4, 'e', { 'Upload-Length': '6' })).status).toBe(400);
      expect((await head(url))['upload-length']).toBe('5');
    },
  ],
  [
    'POST',
    'Upload-Length: 0 is immediately complete after its creation',
    async () => {
      const { url, id } = await createUpload(stage.engine, 0);
      expect(await head(url)).toMatchObject({ 'upload-offset': '0', 'upload-length': '0' });
      expect((await stage.engine.row(id)).state).toBe('complete');
    },
  ],
  [
    'POST',
    'HEAD MUST include Upload-Metadata as specified by the Client during the creation',
    async () => {
      const sent = 'filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential';
      const { url } = await createUpload(stage.engine, bytes.length, { 'Upload-Metadata': sent });
      expect((await head(url))['upload-metadata']).toBe(sent);
      await patch(url, 0, bytes);
      expect((await head(url))['upload-metadata']).toBe(sent);
    },
  ],
  [
    'POST',
    'If the length exceeds the maximum, MUST respond with 413',
    async () => expect((await post({ 'Upload-Length': '1048577' })).status).toBe(413),
  ],
  [
    'POST',
    'MUST acknowledge with 201 and the Location of the created resource',
    async () => {
      const { status, headers } = await post({ 'Upload-Length': '1' });
      expect(status).toBe(201);
      expect(await head(headers.get('location') ?? '')).toMatchObject({ 'upload-length': '1' });
    },
  ],
  [
    'Creation With Upload',
    'SHOULD accept as many bytes as possible, MUST include the Upload-Offset after applying them',
    async () => {
      const type = { 'Content-Type': 'application/offset+octet-stream' };
      const some = await post({ 'Upload-Length': '300', ...type }, bytes.subarray(0, 100));
      expect([some.status, offsetOf(some)]).toEqual([201, 100]);
      const all = await post({ 'Upload-Length': '300', ...type }, bytes);
      expect([all.status, offsetOf(all)]).toEqual([201, 300]);
      expect(await stage.engine.digest(idOf(all.headers.get('location') ?? ''))).toBe(sha256(bytes));
    },
  ],
];

const EXPIRATION: Sentence[] = [
  [
    'Upload-Expires',
    'MUST be included in every PATCH response if the upload is going to expire, and in that to the POST; as an HTTP-date',
    async () => {
      const created = await post({ 'Upload-Length': '300' });
      const url = created.headers.get('location') ?? '';
      const sent = await patch(url, 0, bytes.subarray(0, 10));
      for (const { headers } of [created, sent, await tus('HEAD', url)]) {
        const value = headers.get('upload-expires') ?? '';
        expect(new Date(value).toUTCString()).toBe(value);
        expect(Date.parse(value)).toBeGreaterThan(Date.now());
      }
      const last = await patch(url, 10, bytes.subarray(10)); // now it will not expire any more
      expect(last.headers.get('upload-expires')).toBeNull();
    },
  ],
  [
    'Upload-Expires',
    'a removed upload SHOULD be 404 or 410; 410 if the Server is keeping track of expired uploads',
    async () => {
      const { url, id } = await createUpload(stage.engine, 300);
      await stage.engine.db.updateTable('upload').set({ expiresAt: 1 }).where('id', '=', id).execute();
      expect((await patch(url, 0, bytes)).status).toBe(410);
      await stage.engine.uploads.sweep();
      expect((await tus('HEAD', url)).status).toBe(410);
    },
  ],
];

const CHECKSUM: Sentence[] = [
  [
    'Upload-Checksum',
    'MUST verify the chunk: 400, 460 or 204; in the first two cases it MUST be discarded, the offset MUST NOT be updated',
    async () => {
      const { url, id } = await createUpload(stage.engine, 11);
      const sum = { 'Upload-Checksum': 'sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=' }; // of "hello world"
      expect((await patch(url, 0, 'hello world', { 'Upload-Checksum': 'sha0 Kq5sNclPz7Q=' })).status).toBe(
        400,
      );
      expect((await patch(url, 0, 'hello w0rld', sum)).status).toBe(460);
      expect((await head(url))['upload-offset']).toBe('0');
      expect((await patch(url, 0, 'hello world', sum)).status).toBe(204);
      expect(await stage.engine.digest(id)).toBe(sha256(Buffer.from('hello world')));
    },
  ],
  [
    'Tus-Checksum-Algorithm',
    'MUST be a comma-separated list in the response to OPTIONS; at least sha1; no uppercase characters',
    async () => {
      const { headers } = await tus('OPTIONS', stage.engine.url);
      const names = headers.get('tus-checksum-algorithm')?.split(',') ?? [];
      expect(names).toContain('sha1');
      for (const name of names) expect(name).toMatch(/^[!-@[-~]+$/);
    },
  ],
];

const TERMINATION: Sentence[] = [
  [
    'DELETE',
    'SHOULD free associated resources and MUST respond with 204; future requests SHOULD be 404 or 410',
    async () => {
      for (const sent of [0, 100, 300]) {
        const { url, id } = await createUpload(stage.engine, 300);
        if (sent) await patch(url, 0, bytes.subarray(0, sent));
        expect((await tus('DELETE', url)).status).toBe(204);
        const after = [await tus('HEAD', url), await patch(url, sent, 'x'), await tus('DELETE', url)];
        expect(after.map(({ status }) => status)).toEqual([410, 410, 410]);
        if (sent < 300) expect(await keysOf(stage.engine, id)).toEqual([]);
        else expect((await stage.engine.media(id)).deletedAt).not.toBeNull(); // a job removes its bytes
      }
    },
  ],
];

const CONCATENATION: Sentence[] = [
  [
    'Concatenation',
    'SHOULD NOT process partial uploads until they are concatenated',
    async () => {
      const url = await partial(bytes);
      expect((await stage.engine.row(idOf(url))).mediaId).toBeNull();
      expect(stage.engine.finished).not.toContain(idOf(url));
    },
  ],
  [
    'Concatenation',
    'The length MUST be the sum of all partial uploads, concatenated in the order of the list',
    async () => {
      const [a, b] = [await partial(bytes.subarray(0, 100)), await partial(bytes.subarray(100))];
      const final = await join(b, a);
      const url = final.headers.get('location') ?? '';
      expect(await head(url)).toMatchObject({ 'upload-length': '300', 'upload-offset': '300' });
      const turned = Buffer.concat([bytes.subarray(100), bytes.subarray(0, 100)]);
      expect(await stage.engine.digest(idOf(url))).toBe(sha256(turned));
    },
  ],
  [
    'Concatenation',
    'The Client MUST NOT include Upload-Length in the final upload creation',
    async () => {
      const concat = `final;${await partial(bytes)}`;
      expect((await post({ 'Upload-Concat': concat, 'Upload-Length': '300' })).status).toBe(400);
    },
  ],
  [
    'Concatenation',
    'concatenation while the partial uploads are in progress MUST be announced by concatenation-unfinished',
    async () => {
      expect(await extensions()).toContain('concatenation-unfinished');
      const part = await partial(bytes, 100);
      const final = await join(part);
      const url = final.headers.get('location') ?? '';
      // "SHOULD NOT contain the Upload-Offset header unless the concatenation has been successfully finished"
      expect([final.status, final.headers.get('upload-offset')]).toEqual([201, null]);
      const before = await head(url);
      // "MUST be included if the length of the final resource can be calculated"
      expect([before['upload-offset'], before['upload-length']]).toEqual([undefined, '300']);
      await patch(part, 100, bytes.subarray(100));
      // "After successful concatenation … MUST be set and their values MUST be equal"
      const after = await eventually(async () => {
        const found = await head(url);
        return found['upload-offset'] !== undefined && found;
      });
      expect([after['upload-offset'], after['upload-length']]).toEqual(['300', '300']);
    },
  ],
  [
    'Concatenation',
    "the partial uploads' metadata SHALL NOT be transferred to the new final upload",
    async () => {
      const plain = await join(await partial(bytes));
      expect((await head(plain.headers.get('location') ?? ''))['upload-metadata']).toBeUndefined();
      const concat = `final;${await partial(bytes)}`;
      const own = metadata({ filename: 'final.mp4' });
      const named = await post({ 'Upload-Concat': concat, 'Upload-Metadata': own });
      expect((await head(named.headers.get('location') ?? ''))['upload-metadata']).toBe(own);
    },
  ],
  [
    'Concatenation',
    'MUST respond with 403 to PATCH against a final upload, and MUST NOT modify the final or its partial uploads',
    async () => {
      const part = await partial(bytes, 100);
      const url = (await join(part)).headers.get('location') ?? '';
      for (const offset of [0, 100]) expect((await patch(url, offset, 'abc')).status).toBe(403);
      expect((await head(part))['upload-offset']).toBe('100');
      await patch(part, 100, bytes.subarray(100));
      await eventually(async () => (await head(url))['upload-offset'] !== undefined);
      expect((await patch(url, 300, '')).status).toBe(403);
      expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes));
    },
  ],
  [
    'Concatenation',
    'HEAD of a partial upload MUST contain Upload-Offset; of both MUST include Upload-Concat as received',
    async () => {
      const part = await partial(bytes, 100);
      expect(await head(part)).toMatchObject({ 'upload-offset': '100', 'upload-concat': 'partial' });
      const whole = await partial(bytes);
      for (const address of [whole, new URL(part).pathname]) {
        const url = (await join(address)).headers.get('location') ?? '';
        expect((await head(url))['upload-concat']).toBe(`final;${address}`); // "MAY be absolute or relative"
      }
    },
  ],
  [
    'Upload-Concat',
    'MUST be partial, or final followed by a semicolon and partial upload URLs',
    async () => {
      for (const value of [
        'whole',
        'final',
        'final;',
        'final;http://elsewhere/files/x',
        `final;${unknown()}`,
      ])
        expect([value, (await post({ 'Upload-Concat': value })).status]).toEqual([value, 400]);
    },
  ],
];

async function uploads(): Promise<{ count: number }> {
  const rows = await stage.engine.db.selectFrom('upload').select('id').execute();
  return { count: rows.length };
}

describe.each([
  ['Core Protocol', CORE],
  ['Creation', CREATION],
  ['Expiration', EXPIRATION],
  ['Checksum', CHECKSUM],
  ['Termination', TERMINATION],
  ['Concatenation', CONCATENATION],
])('%s', (_part, sentences) => {
  it.each(sentences)('%s: %s', (_section, _sentence, holds) => holds());
});
