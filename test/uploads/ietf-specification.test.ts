/**
 * Every sentence of draft-ietf-httpbis-resumable-upload-12 that says what a server MUST or SHOULD do, in its order. Older
 * versions: ietf-versions.test.ts; details: ietf.test.ts.
 */
import { createHash, randomBytes } from 'node:crypto';
import { eventually } from '../server.ts';
import { idOf, createUpload, keysOf, offsetOf, patch, sha256, tus, useEngine } from './harness.ts';
import { draft as draftOf, DRAFT_ENGINE, problem } from './ietf-requests.ts';
import { chunked, CutError, type Fields, type WireOptions } from './wire.ts';

const stage = useEngine('disk', DRAFT_ENGINE);
const FILE = randomBytes(1000);
const LIMITS = /^max-size=1048576, max-age=3[56]\d\d$/;
const PROBLEM = 'https://iana.org/assignments/http-problem-types';

/** A request as alice in interop version 8. */
const draft = (method: string, url: string, fields?: Fields, body?: Buffer, options?: WireOptions) =>
  draftOf(8, method, url, fields, body, options);

const COMPLETE = { 'Upload-Complete': '?1' };
const INCOMPLETE = { 'Upload-Complete': '?0' };
const create = (fields: Fields, body = FILE) => draft('POST', stage.engine.url, fields, body);
const append = (url: string, offset: number, body: Buffer, fields: Fields = INCOMPLETE) =>
  draft('PATCH', url, { 'Upload-Offset': String(offset), ...fields }, body);

/** An upload with this many bytes of the file. */
async function begun(bytes = 0, fields: Fields = {}): Promise<string> {
  const answer = await create({ ...INCOMPLETE, ...fields }, FILE.subarray(0, bytes));
  expect(answer.status).toBe(201);
  return answer.headers['location'] ?? '';
}

/** A function that resolves once a request that is made from now on has the upload's lease. */
async function nextLease(url: string): Promise<() => Promise<unknown>> {
  const epoch = async () => (await stage.engine.row(idOf(url))).epoch;
  const before = await epoch();
  return () => eventually(async () => (await epoch()) > before);
}

type Sentence = [section: string, sentence: string, holds: () => Promise<void>];

const RESOURCE: Sentence[] = [
  [
    'Upload Resource',
    'An upload resource SHOULD be unique',
    async () => expect(await begun()).not.toBe(await begun()),
  ],
  [
    'Offset',
    'the offset MUST NOT decrease',
    async () => {
      const url = await begun(400);
      for (const sent of [
        append(url, 0, FILE),
        draft('PATCH', url, { ...COMPLETE, 'Upload-Offset': '400' }, FILE.subarray(400), { cutAfter: 100 }),
      ])
        await sent.catch((error: unknown) => expect(error).toBeInstanceOf(CutError));
      const { headers } = await draft('HEAD', url);
      expect(Number(headers['upload-offset'])).toBeGreaterThanOrEqual(400);
    },
  ],
  [
    'Offset',
    'If the server loses any part of the state, it MUST deactivate the upload resource and reject further interaction',
    async () => {
      const url = await begun(400);
      await stage.engine.storage.delete(`incoming/${idOf(url)}`);
      const answers = [await append(url, 400, FILE), await draft('HEAD', url), await draft('DELETE', url)];
      expect(answers.map(({ status }) => status)).toEqual([410, 410, 410]);
    },
  ],
  [
    'Offset',
    'Other values MUST cause the entire Upload-Offset to be ignored',
    async () => {
      const url = await begun();
      for (const value of ['-1', '1.0', 'zero', '"0"', '?0'])
        expect([value, (await append(url, 0, FILE, { ...COMPLETE, 'Upload-Offset': value })).status]).toEqual(
          [
            value,
            400, // as without it
          ],
        );
    },
  ],
  [
    'Completeness',
    'Other values MUST cause the entire Upload-Complete to be ignored',
    async () => {
      const url = await begun();
      for (const value of ['1', 'true', '?2', '"?1"'])
        expect([value, (await append(url, 0, FILE, { 'Upload-Complete': value })).status]).toEqual([
          value,
          400, // as without it
        ]);
    },
  ],
  [
    'Length',
    'Other values MUST cause the entire Upload-Length to be ignored',
    async () => {
      const url = await begun(0, { 'Upload-Length': 'long' });
      expect((await draft('HEAD', url)).headers['upload-length']).toBeUndefined();
    },
  ],
  [
    'Length',
    'the indicated lengths MUST match, in one request and over several',
    async () => {
      const inOne = await create({ ...COMPLETE, 'Upload-Length': '999' });
      const url = await begun(100, { 'Upload-Length': '1000' });
      const overSeveral = await append(url, 100, FILE.subarray(100, 900), COMPLETE);
      for (const answer of [inOne, overSeveral])
        expect([answer.status, problem(answer)['type']]).toEqual([
          400,
          `${PROBLEM}#inconsistent-upload-length`,
        ]);
    },
  ],
  [
    'Limits',
    'OPTIONS MUST include Upload-Limit, SHOULD NOT be less restrictive than the limits of an upload',
    async () => {
      const { headers } = await draft('OPTIONS', stage.engine.url);
      expect(headers['upload-limit']).toBe('max-size=1048576, max-age=3600');
      const { headers: created } = await create(INCOMPLETE, Buffer.alloc(0));
      expect(created['upload-limit']).toMatch(LIMITS);
    },
  ],
  [
    'Limits',
    'max-size SHOULD NOT decrease; the end of the lifetime SHOULD NOT decrease',
    async () => {
      const url = await begun();
      const end = async () => Number((await stage.engine.row(idOf(url))).expiresAt);
      const first = await end();
      const { headers } = await append(url, 0, FILE.subarray(0, 10));
      expect(headers['upload-limit']).toMatch(LIMITS);
      expect(await end()).toBeGreaterThanOrEqual(first);
    },
  ],
  [
    'Limits',
    'a 413 SHOULD include the Upload-Limit header field',
    async () => {
      const { status, headers } = await create(
        { ...INCOMPLETE, 'Upload-Length': '1048577' },
        Buffer.alloc(0),
      );
      expect([status, headers['upload-limit']]).toEqual([413, 'max-size=1048576']);
    },
  ],
];

const CREATION: Sentence[] = [
  [
    'Upload Creation',
    'SHOULD announce the upload resource by a 104, which MUST include Location and Upload-Limit',
    async () => {
      for (const complete of [COMPLETE, INCOMPLETE]) {
        const { interim, headers, status } = await create(complete);
        expect(status).toBe(201);
        expect(interim[0]).toMatchObject({ status: 104, reason: 'Upload Resumption Supported' });
        expect(interim[0]?.headers['upload-limit']).toMatch(LIMITS);
        // "all interim and final response messages for the same request MUST contain an identical Location value"
        expect(interim[0]?.headers['location']).toBe(headers['location']);
        expect((await draft('HEAD', interim[0]?.headers['location'] ?? '')).status).toBe(204);
      }
    },
  ],
  [
    'Upload Creation',
    'with Upload-Complete: ?0 the server MUST include Location and Upload-Limit; 201 (Created) is RECOMMENDED',
    async () => {
      const { status, headers } = await create(INCOMPLETE);
      expect(status).toBe(201);
      expect(headers).toMatchObject({ location: expect.any(String) as unknown, 'upload-complete': '?0' });
      expect(headers['upload-limit']).toMatch(LIMITS);
    },
  ],
  [
    'Upload Creation',
    'MUST record the length if Upload-Length or Upload-Complete: ?1 are included',
    async () => {
      const url = await begun(10, { 'Upload-Length': '77' });
      expect((await draft('HEAD', url)).headers['upload-length']).toBe('77');
      const whole = (await create(COMPLETE)).headers['location'] ?? '';
      expect((await draft('HEAD', whole)).headers['upload-length']).toBe('1000');
    },
  ],
  [
    'Upload Creation',
    'SHOULD include Upload-Complete to indicate whether it is the result of processing the representation',
    async () => {
      expect((await create(COMPLETE)).headers['upload-complete']).toBe('?1');
      expect((await create(INCOMPLETE)).headers['upload-complete']).toBe('?0');
      expect((await create({ ...COMPLETE, 'Upload-Length': '5' })).headers['upload-complete']).toBe('?0');
    },
  ],
  [
    'Upload Creation',
    'interrupted, SHOULD append as much of the content as possible, and MUST NOT be considered complete',
    async () => {
      let url = '';
      const announced = new Promise<void>((resolve) => {
        const onInterim = ({ headers }: { headers: Record<string, string> }): void => {
          url ||= headers['location'] ?? '';
          resolve();
        };
        draft('POST', stage.engine.url, COMPLETE, FILE, {
          ...{ onInterim, cutAfter: 640, beforeCut: () => announced },
        }).catch(() => undefined);
      });
      await announced;
      const { headers } = await draft('HEAD', url); // takes over what is still arriving
      expect(Number(headers['upload-offset'])).toBeLessThanOrEqual(640);
      expect(headers['upload-complete']).toBe('?0');
      const rest = FILE.subarray(Number(headers['upload-offset']));
      const last = await append(url, Number(headers['upload-offset']), rest, COMPLETE);
      expect([last.status, await stage.engine.digest(idOf(url))]).toEqual([201, sha256(FILE)]);
    },
  ],
];

const RETRIEVAL: Sentence[] = [
  [
    'Offset Retrieval',
    'MUST include Upload-Offset, Upload-Complete, Upload-Length unless not supplied, Upload-Limit; SHOULD be no-store',
    async () => {
      const unknown = await begun(10);
      const known = await begun(20, { 'Upload-Length': '1000' });
      for (const method of ['HEAD', 'GET'])
        for (const [url, offset, length] of [
          [unknown, '10', undefined],
          [known, '20', '1000'],
        ] as const) {
          const { status, headers } = await draft(method, url);
          expect([status, headers['upload-offset'], headers['upload-length']]).toEqual([204, offset, length]);
          expect(headers).toMatchObject({ 'upload-complete': '?0', 'cache-control': 'no-store' });
          expect(headers['upload-limit']).toMatch(LIMITS);
        }
      await append(known, 20, FILE.subarray(20), COMPLETE);
      const { headers } = await draft('HEAD', known);
      expect(headers).toMatchObject({ 'upload-complete': '?1', 'upload-offset': '1000' });
    },
  ],
];

const APPEND: Sentence[] = [
  [
    'Upload Append',
    'If Upload-Offset does not match, MUST be 409 with Upload-Complete ?0 and the correct offset; SHOULD populate both members',
    async () => {
      const url = await begun(100);
      for (const offset of [0, 99, 101]) {
        const answer = await append(url, offset, FILE);
        expect(answer.status).toBe(409);
        expect(answer.headers).toMatchObject({ 'upload-complete': '?0', 'upload-offset': '100' });
        expect(problem(answer)).toMatchObject({
          type: `${PROBLEM}#mismatching-upload-offset`,
          'expected-offset': 100,
          'provided-offset': offset,
        });
      }
    },
  ],
  [
    'Upload Append',
    'complete, SHOULD be answered as the creation would have been, and MUST include Upload-Complete: ?1',
    async () => {
      const url = await begun(100);
      const { status, headers, body } = await append(url, 100, FILE.subarray(100), COMPLETE);
      expect([status, headers['upload-complete']]).toEqual([201, '?1']);
      const once = await create(COMPLETE);
      expect(JSON.parse(body)).toEqual({ id: idOf(url) });
      expect(JSON.parse(once.body)).toEqual({ id: idOf(once.headers['location'] ?? '') });
      expect(await stage.engine.digest(idOf(url))).toBe(sha256(FILE));
    },
  ],
  [
    'Upload Append',
    'incomplete, is acknowledged by a 2xx with Upload-Complete: ?0; the block might be empty',
    async () => {
      const url = await begun(100);
      for (const body of [FILE.subarray(100, 100), FILE.subarray(100, 101)]) {
        const { status, headers } = await append(url, 100, body);
        expect([status, headers['upload-complete']]).toEqual([204, '?0']);
      }
    },
  ],
  [
    'Upload Append',
    'to a completed upload the final response can be replayed if the request is valid',
    async () => {
      const url = await begun(100);
      const last = await append(url, 100, FILE.subarray(100), COMPLETE);
      const replayed = await append(url, 1000, Buffer.alloc(0), COMPLETE);
      expect([replayed.status, replayed.body]).toEqual([201, last.body]);
      for (const [offset, body, complete] of [
        [1000, Buffer.from('x'), COMPLETE],
        [1000, Buffer.alloc(0), INCOMPLETE],
        [100, FILE.subarray(100), COMPLETE],
      ] as const) {
        const answer = await append(url, offset, body, complete);
        expect([answer.status, problem(answer)['type']]).toEqual([400, `${PROBLEM}#completed-upload`]);
      }
      expect(stage.engine.finished.filter((id) => id === idOf(url))).toHaveLength(1);
    },
  ],
  [
    'Upload Append',
    'MUST record the length if Upload-Length or Upload-Complete are included',
    async () => {
      const url = await begun(10);
      await append(url, 10, FILE.subarray(10, 20), { ...INCOMPLETE, 'Upload-Length': '1000' });
      expect((await draft('HEAD', url)).headers['upload-length']).toBe('1000');
    },
  ],
  [
    'Upload Append',
    'MUST prevent the offset from exceeding the length, invalidate the upload and reject any further interaction',
    async () => {
      for (const coded of [{ 'Transfer-Encoding': 'chunked' }, {}]) {
        const url = await begun(10, { 'Upload-Length': '20' });
        const body = FILE.subarray(10, 31); // "It is not sufficient to rely on the Content-Length"
        const sent = await append(url, 10, coded['Transfer-Encoding'] ? chunked(body) : body, {
          ...INCOMPLETE,
          ...coded,
        });
        expect([sent.status, problem(sent)['type']]).toEqual([400, `${PROBLEM}#inconsistent-upload-length`]);
        if (!coded['Transfer-Encoding']) continue; // refused before a byte was taken
        expect((await draft('HEAD', url)).status).toBe(410);
        expect((await append(url, 20, Buffer.alloc(0), COMPLETE)).status).toBe(410);
        expect(await keysOf(stage.engine, idOf(url))).toEqual([]);
      }
    },
  ],
  [
    'Upload Append',
    'SHOULD send 104 with Upload-Offset while the content is processed, which MUST NOT include Location',
    async () => {
      const url = await begun();
      const slow = new Promise<Record<string, string>>((resolve) => {
        const fields = { ...COMPLETE, 'Upload-Offset': '0', 'Content-Length': '1000' };
        draft('PATCH', url, fields, FILE.subarray(0, 500), {
          onInterim: ({ headers }) => resolve(headers),
        }).catch(() => undefined);
      });
      const headers = await slow;
      expect([headers['upload-offset'], headers['location']]).toEqual(['500', undefined]);
      expect(headers['upload-draft-interop-version']).toBe('8');
      await draft('DELETE', url);
    },
  ],
  [
    'Transfer Codings',
    'the server decodes the message before computing the offset',
    async () => {
      const url = await begun();
      const body = chunked(FILE.subarray(0, 300), FILE.subarray(300));
      const { status } = await append(url, 0, body, { ...COMPLETE, 'Transfer-Encoding': 'chunked' });
      expect([status, await stage.engine.digest(idOf(url))]).toEqual([201, sha256(FILE)]);
    },
  ],
];

const CANCELLATION: Sentence[] = [
  [
    'Upload Cancellation',
    'SHOULD deactivate the upload resource, SHOULD terminate any in-flight requests to it before the response',
    async () => {
      const url = await begun(100);
      const leased = await nextLease(url);
      const running = draft('PATCH', url, { ...COMPLETE, 'Upload-Offset': '100' }, FILE.subarray(100), {
        cutAfter: 300,
        beforeCut: () => new Promise(() => undefined), // we never do it
      });
      running.catch(() => undefined);
      await leased();
      const deleted = await draft('DELETE', url);
      await expect(running).rejects.toThrow(CutError); // the server ended it: nothing else would
      expect(deleted.status).toBe(204);
      for (const method of ['HEAD', 'DELETE']) expect((await draft(method, url)).status).toBe(410);
      expect((await append(url, 100, FILE)).status).toBe(410);
      expect(await keysOf(stage.engine, idOf(url))).toEqual([]);
    },
  ],
  [
    'Concurrency',
    'SHOULD terminate the previous request; MUST NOT send outdated offsets: clients have to be able to use them',
    async () => {
      for (let round = 0; round < 5; round++) {
        const url = await begun(100);
        let offset = NaN;
        const leased = await nextLease(url);
        const running = draft('PATCH', url, { ...COMPLETE, 'Upload-Offset': '100' }, FILE.subarray(100), {
          cutAfter: 100 * round + 1,
          async beforeCut() {
            await leased();
            offset = Number((await draft('HEAD', url)).headers['upload-offset']);
          },
        });
        await expect(running).rejects.toThrow(CutError);
        const { status } = await append(url, offset, FILE.subarray(offset), COMPLETE);
        expect([status, await stage.engine.digest(idOf(url))]).toEqual([201, sha256(FILE)]);
      }
    },
  ],
];

const REST: Sentence[] = [
  [
    'Status Code 104',
    'the server MUST NOT omit the 100 (Continue) response because it has sent a 104',
    async () => {
      const { interim, status } = await create({ ...COMPLETE, Expect: '100-continue' });
      expect(interim.map((response) => response.status).sort()).toEqual([100, 104]);
      expect(status).toBe(201);
    },
  ],
  [
    'Representation Digests',
    "If the digests don't match, SHOULD consider the upload failed, not process it and signal the failure",
    async () => {
      const digest = `sha-256=:${createHash('sha256').update('other').digest('base64')}:`;
      const answer = await create({ ...COMPLETE, 'Repr-Digest': digest });
      expect([answer.status, answer.headers['upload-complete']]).toEqual([400, '?0']);
      const id = idOf(answer.interim[0]?.headers['location'] ?? '');
      expect((await stage.engine.media(id)).status).toBe('failed');
      expect(stage.engine.finished).not.toContain(id);
    },
  ],
  [
    'Representation Digests',
    'SHOULD compute the digests that Want-Repr-Digest prefers, and include Repr-Digest in the response',
    async () => {
      const url = await begun(100, { 'Want-Repr-Digest': 'sha-512=3, sha-256=10, unixsum=5' });
      const { headers } = await append(url, 100, FILE.subarray(100), COMPLETE);
      const digest = `sha-256=:${createHash('sha256').update(FILE).digest('base64')}:`;
      expect(headers['repr-digest']).toBe(digest);
      expect((await draft('HEAD', url)).headers['repr-digest']).toBe(digest);
    },
  ],
  [
    'Content Digests',
    "If the digests don't match, SHOULD not append the content, and signal the failure",
    async () => {
      const url = await begun(100);
      const digest = `sha-256=:${createHash('sha256').update('other').digest('base64')}:`;
      const answer = await append(url, 100, FILE.subarray(100), { ...COMPLETE, 'Content-Digest': digest });
      expect(answer.status).toBe(400);
      const { headers } = await draft('HEAD', url);
      expect([headers['upload-offset'], headers['upload-complete']]).toEqual(['100', '?0']);
    },
  ],
  [
    'Security Considerations',
    'only authorized clients can access the upload resource, also at its end',
    async () => {
      const url = await begun(100);
      for (const [who, status] of [
        ['Bearer bob', 404],
        ['', 401],
        ['Bearer alice read', 403],
      ] as const) {
        const other = { Authorization: who };
        expect((await draft('HEAD', url, other)).status).toBe(status);
        expect((await append(url, 100, FILE.subarray(100), { ...COMPLETE, ...other })).status).toBe(status);
        expect((await draft('DELETE', url, other)).status).toBe(status);
      }
      expect((await draft('HEAD', url)).headers['upload-offset']).toBe('100');
    },
  ],
  [
    'Draft Version Identification',
    'MUST NOT send a 104 when the interop version is missing or mismatching, MUST send it with the 104',
    async () => {
      for (const version of [undefined, '1', '99']) {
        const { status, interim } = await create({ ...COMPLETE, 'Upload-Draft-Interop-Version': version });
        expect([status, interim]).toEqual([201, []]);
      }
      const { interim } = await create(COMPLETE);
      expect(interim[0]?.headers['upload-draft-interop-version']).toBe('8');
    },
  ],
];

/** What the draft does not know, and tus made. */
const BESIDE_TUS: Sentence[] = [
  [
    'PATCH',
    'to a partial upload goes on with it, as tus would',
    async () => {
      const { url } = await createUpload(stage.engine, 1000, { 'Upload-Concat': 'partial' });
      await patch(url, 0, FILE.subarray(0, 100));
      const some = await append(url, 100, FILE.subarray(100, 200));
      expect([some.status, some.headers['upload-offset']]).toEqual([204, '200']);
      const last = await append(url, 200, FILE.subarray(200), COMPLETE);
      expect([last.status, last.headers['upload-complete']]).toEqual([201, '?1']);
      const final = await tus('POST', stage.engine.url, { 'Upload-Concat': `final;${url}` });
      expect([final.status, offsetOf(final)]).toEqual([201, 1000]);
      expect(await stage.engine.digest(idOf(final.headers.get('location') ?? ''))).toBe(sha256(FILE));
    },
  ],
  [
    'PATCH',
    'to a final upload is refused, before and after it is complete',
    async () => {
      const { url: part } = await createUpload(stage.engine, 1000, { 'Upload-Concat': 'partial' });
      const final = await tus('POST', stage.engine.url, { 'Upload-Concat': `final;${part}` });
      const url = final.headers.get('location') ?? '';
      const refused = await append(url, 0, FILE, COMPLETE);
      expect([refused.status, problem(refused)['code']]).toEqual([403, 'final_upload']);
      expect((await draft('HEAD', url)).status).toBe(503); // there is no offset to go on at
      await patch(part, 0, FILE);
      expect((await append(url, 1000, Buffer.alloc(0), COMPLETE)).status).toBe(403);
      const { headers } = await draft('HEAD', url);
      expect([headers['upload-offset'], headers['upload-complete']]).toEqual(['1000', '?1']);
    },
  ],
  [
    'PATCH',
    'to an upload that tus completed adds nothing',
    async () => {
      const { url, id } = await createUpload(stage.engine, 1000);
      await patch(url, 0, FILE);
      expect((await append(url, 1000, Buffer.from('x'))).status).toBe(400);
      expect((await append(url, 1000, Buffer.alloc(0), COMPLETE)).status).toBe(201);
      expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
      expect(await stage.engine.digest(id)).toBe(sha256(FILE));
    },
  ],
];

describe.each([
  ['Upload Resource', RESOURCE],
  ['Upload Creation', CREATION],
  ['Offset Retrieval', RETRIEVAL],
  ['Upload Append', APPEND],
  ['Upload Cancellation, Concurrency', CANCELLATION],
  ['The rest', REST],
  ['Beside tus', BESIDE_TUS],
])('%s', (_part, sentences) => {
  it.each(sentences)('%s: %s', (_section, _sentence, holds) => holds());
});
