/** S3 that is there and says no, or something in front of it that answers in its place: none of it means that bytes are gone. */
import { createHash, randomBytes } from 'node:crypto';
import type { Fault } from './fault-proxy.ts';
import { useFaultyS3 } from './faulty-s3.ts';
import { createUpload, finishesOf, idOf, offsetOf, patch, sha256, tus, type Answer } from './harness.ts';

const MiB = 1024 * 1024;
/** A part and a tail, and then as much again. */
const bytes = randomBytes(18 * MiB);
const half = 9 * MiB;

const stage = useFaultyS3();

/** An answer that makes clients of tus come again, and says when. */
function expectToComeAgain({ status, headers }: Answer): void {
  expect(status).toBeGreaterThanOrEqual(500);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
}

const OUTAGES: Fault[] = [
  ...(['busy', 'expired', 'unknown', 'skewed', 'elsewhere', 'nowhere', 'absent', 'text', 'page'] as const),
];

describe.each(OUTAGES)('while every answer is “%s”', (fault) => {
  const away = (): void => void (stage.proxy.rule = () => fault);
  const back = (): void => void (stage.proxy.rule = () => 'pass');

  it('an upload keeps what it has, and goes on afterwards', async () => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    expect((await patch(url, 0, bytes.subarray(0, half))).status).toBe(204);
    away();
    expectToComeAgain(await patch(url, half, bytes.subarray(half)));
    expect(offsetOf(await tus('HEAD', url))).toBe(half);
    back();
    expect((await patch(url, half, bytes.subarray(half))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  });

  it('a small upload is not taken for stored', async () => {
    const { url, id } = await createUpload(stage.engine, 1000);
    away();
    expectToComeAgain(await patch(url, 0, bytes.subarray(0, 1000)));
    back();
    const offset = offsetOf(await tus('HEAD', url));
    expect(offset).toBe(0);
    expect((await patch(url, offset, bytes.subarray(offset, 1000))).status).toBe(204);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 1000)));
  });

  it.each([
    ['of parts', bytes.length],
    ['of a tail', 1000],
  ])('an upload %s that is whole is not ended by it', async (_, length) => {
    const { headers } = await tus('POST', stage.engine.url, { 'Upload-Defer-Length': '1' });
    const url = headers.get('location') ?? '';
    expect((await patch(url, 0, bytes.subarray(0, length))).status).toBe(204);
    away();
    expectToComeAgain(await patch(url, length, '', { 'Upload-Length': String(length) }));
    expectToComeAgain(await tus('HEAD', url));
    back();
    expect(offsetOf(await tus('HEAD', url))).toBe(length);
    expect(await stage.engine.digest(idOf(url))).toBe(sha256(bytes.subarray(0, length)));
    expect(await finishesOf(stage.engine, idOf(url))).toBe(1);
  });

  it('a final upload is not ended by it', async () => {
    const urls = [];
    for (const from of [0, half]) {
      const partial = await createUpload(stage.engine, half, { 'Upload-Concat': 'partial' });
      await patch(partial.url, 0, bytes.subarray(from, from + half));
      urls.push(partial.url);
    }
    away();
    const wish = { 'Upload-Concat': `final;${urls.join(' ')}` };
    expectToComeAgain(await tus('POST', stage.engine.url, wish));
    back();
    const final = await tus('POST', stage.engine.url, wish);
    expect(final.status).toBe(201);
    const id = idOf(final.headers.get('location'));
    await stage.engine.uploads.sweep();
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
    expect(await finishesOf(stage.engine, id)).toBe(1);
  });
});

// A page of a status that is well is all that HEAD of a bucket asks for.
it.each(OUTAGES.filter((fault) => fault !== 'page'))(
  'the bucket is not ready while every answer is “%s”',
  async (fault) => {
    stage.proxy.rule = () => fault;
    await expect(stage.engine.storage.check()).rejects.toThrow();
  },
);

it('an object that is read back short is not compared with its digest', async () => {
  const digest = createHash('sha256').update(bytes.subarray(0, 1000)).digest('base64');
  const { url, id } = await createUpload(stage.engine, 1000, { 'Repr-Digest': `sha-256=:${digest}:` });
  stage.proxy.rule = ({ operation }) => (operation === 'GetObject' ? 'short' : 'pass');
  expectToComeAgain(await patch(url, 0, bytes.subarray(0, 1000)));
  stage.proxy.rule = () => 'pass';
  expect(offsetOf(await tus('HEAD', url))).toBe(1000);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 1000)));
});
