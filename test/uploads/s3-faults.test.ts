/** Faults between us and S3: whatever it does, no acknowledged byte is lost and the object is the sent bytes. */
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import type { S3Storage } from '../../server/storage/s3.ts';
import { piecesOf } from '../../server/uploads/s3/tail.ts';
import type { Fault, S3Call } from './fault-proxy.ts';
import { useFaultyS3 } from './faulty-s3.ts';
import { createUpload, offsetOf, patch, sha256, startEngine, tus } from './harness.ts';
import { seededRandom } from './random.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(37 * MiB + 99);

const stage = useFaultyS3();

/** The fault for the calls of one operation (and part), the first `times` of them. */
function fault(
  kind: Fault,
  operation: string,
  { times = Infinity, part }: { times?: number; part?: number } = {},
) {
  stage.proxy.rule = (call: S3Call) => {
    if (call.operation !== operation || (part && call.query.get('partNumber') !== String(part)))
      return 'pass';
    return times-- > 0 ? kind : 'pass';
  };
}

const calls = (): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { operation } of stage.proxy.calls) counts[operation] = (counts[operation] ?? 0) + 1;
  return counts;
};

it('an 8 MiB PATCH in the middle costs one call', async () => {
  const { url } = await createUpload(stage.engine, bytes.length);
  await patch(url, 0, bytes.subarray(0, 8 * MiB));
  stage.proxy.calls = [];
  expect((await patch(url, 8 * MiB, bytes.subarray(8 * MiB, 16 * MiB))).status).toBe(204);
  await tus('HEAD', url);
  expect(calls()).toEqual({ UploadPart: 1 });
});

it('an upload below one part is stored under a name of its holder, then copied to its place', async () => {
  const { url } = await createUpload(stage.engine, MiB);
  await patch(url, 0, bytes.subarray(0, MiB));
  expect(calls()).toEqual({ PutObject: 2, HeadObject: 1, DeleteObject: 1 }); // a copy is a PUT as well
});

it('a part that fails leaves a gap that is never acknowledged', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  fault('error', 'UploadPart', { part: 2 });
  const answer = await patch(url, 0, bytes);
  expect([answer.status, answer.code, answer.headers.get('retry-after')]).toEqual([
    503,
    'storage_unavailable',
    '5',
  ]);
  stage.proxy.rule = () => 'pass';
  expect(offsetOf(await tus('HEAD', url))).toBe(8 * MiB);
  expect((await patch(url, 8 * MiB, bytes.subarray(8 * MiB))).status).toBe(204);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
});

it('a copy for those who read along that can not be stored costs the upload nothing', async () => {
  const hooks = { mayFollow: () => true, isFollowed: () => Promise.resolve(true) };
  const followed = await startEngine(stage.ground, { env: { S3_ENDPOINT: stage.proxy.url }, hooks });
  try {
    const { url, id } = await createUpload(followed, bytes.length);
    stage.proxy.rule = ({ operation, key }) =>
      operation === 'PutObject' && key.includes(`${id}/parts/`) ? 'error' : 'pass';
    expect((await patch(url, 0, bytes)).status).toBe(204);
    expect(stage.proxy.faults).toBeGreaterThan(0);
    expect(await followed.digest(id)).toBe(sha256(bytes));
  } finally {
    await followed.close();
  }
});

it('a tail that can not be stored anew is still there as it was', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  await patch(url, 0, bytes.subarray(0, 3 * MiB));
  fault('error', 'PutObject');
  expect((await patch(url, 3 * MiB, bytes.subarray(3 * MiB, 4 * MiB))).status).toBe(503);
  stage.proxy.rule = () => 'pass';
  expect(offsetOf(await tus('HEAD', url))).toBe(3 * MiB);
  expect((await patch(url, 3 * MiB, bytes.subarray(3 * MiB))).status).toBe(204);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
});

it('bytes are signed over plain HTTP unless that is turned off', async () => {
  const signed = await startEngine(stage.ground, {
    env: { S3_ENDPOINT: stage.proxy.url, S3_SIGN_PAYLOAD: '' },
  });
  for (const one of [signed, stage.engine]) {
    const { url, id } = await createUpload(one, 9 * MiB);
    expect((await patch(url, 0, bytes.subarray(0, 9 * MiB))).status).toBe(204);
    expect(await one.digest(id)).toBe(sha256(bytes.subarray(0, 9 * MiB)));
  }
  await signed.close();
  const hashes = stage.proxy.calls
    .filter(({ operation }) => operation === 'UploadPart')
    .map(({ headers }) => headers['x-amz-content-sha256']);
  const hash = expect.stringMatching(/^[0-9a-f]{64}$/) as unknown;
  expect(hashes).toEqual([hash, hash, 'UNSIGNED-PAYLOAD', 'UNSIGNED-PAYLOAD']);
});

it('small PATCHes store no byte more than a few times', async () => {
  const { url } = await createUpload(stage.engine, bytes.length);
  for (let offset = 0; offset < 16 * MiB; offset += MiB)
    expect((await patch(url, offset, bytes.subarray(offset, offset + MiB))).status).toBe(204);
  const sizes = stage.proxy.calls
    .filter(({ operation }) => operation === 'PutObject' || operation === 'UploadPart')
    .map(({ headers }) => Number(headers['content-length']));
  expect(calls()).toMatchObject({ PutObject: 14, GetObject: 14, UploadPart: 2 });
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(30 * MiB); // seven of eight twice: as a piece and in a part
});

it('pieces of a tail that can not be joined are still there as they were', async () => {
  const { url, id } = await createUpload(stage.engine, 9000);
  const send = (offset: number) => patch(url, offset, bytes.subarray(offset, offset + 1000));
  for (let offset = 0; offset < 7000; offset += 1000) expect((await send(offset)).status).toBe(204);
  for (const operation of ['GetObject', 'PutObject']) {
    fault('error', operation);
    expect((await send(7000)).status).toBe(503);
    stage.proxy.rule = () => 'pass';
    expect(offsetOf(await tus('HEAD', url))).toBe(7000);
  }
  expect((await send(7000)).status).toBe(204);
  expect(piecesOf(await stage.engine.row(id))).toMatchObject([{ size: 8000, level: 1 }]);
  expect((await send(8000)).status).toBe(204);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes.subarray(0, 9000)));
});

it.each<Fault>(['lost', 'reset'])(
  'a CompleteMultipartUpload whose answer is %s is resolved by looking',
  async (kind) => {
    const { url, id } = await createUpload(stage.engine, bytes.length);
    fault(kind, 'CompleteMultipartUpload', { times: 1 });
    expect((await patch(url, 0, bytes)).status).toBe(204);
    expect(stage.proxy.faults).toBe(1);
    expect(await stage.engine.digest(id)).toBe(sha256(bytes));
    expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
  },
);

it('says nothing of the end while the object can not be completed, and completes it later', async () => {
  const { url, id } = await createUpload(stage.engine, bytes.length);
  fault('error', 'CompleteMultipartUpload');
  expect((await patch(url, 0, bytes)).status).toBe(503);
  const head = await tus('HEAD', url);
  expect([head.status, head.headers.get('upload-offset'), head.headers.get('retry-after')]).toEqual([
    503,
    null,
    '5',
  ]);
  expect(stage.engine.finished).not.toContain(id);
  expect((await stage.engine.media(id)).status).toBe('uploading');
  stage.proxy.rule = () => 'pass';
  await stage.engine.uploads.sweep();
  expect((await stage.engine.media(id)).status).toBe('processing');
  expect(offsetOf(await tus('HEAD', url))).toBe(bytes.length);
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
});

it('comes to its end over random faults on every call', async () => {
  const random = seededRandom('S3 faults');
  const kinds: Fault[] = ['error', 'reset', 'lost'];
  const { url, id } = await createUpload(stage.engine, bytes.length);
  stage.proxy.rule = () => (random.next() < 0.45 ? (kinds[random.between(0, 2)] ?? 'pass') : 'pass');
  let acknowledged = 0;
  for (let round = 0; acknowledged < bytes.length; round++) {
    expect(round).toBeLessThan(200);
    const head = await tus('HEAD', url);
    if (head.status !== 200) {
      expect(head.status).toBe(503);
      continue;
    }
    expect(offsetOf(head)).toBeGreaterThanOrEqual(acknowledged);
    acknowledged = offsetOf(head);
    const answer = await patch(
      url,
      acknowledged,
      bytes.subarray(acknowledged, acknowledged + random.between(1, 6 * MiB)),
    );
    if (answer.status === 204) acknowledged = offsetOf(answer);
    else expect(answer.status).toBe(503);
  }
  expect(stage.proxy.faults).toBeGreaterThan(5);
  stage.proxy.rule = () => 'pass';
  expect(await stage.engine.digest(id)).toBe(sha256(bytes));
  expect(stage.engine.finished.filter((done) => done === id)).toHaveLength(1);
});

it("the sweep aborts what a crash left of our uploads, and nobody else's", async () => {
  const { client, bucket } = stage.engine.storage as S3Storage;
  const { id } = await createUpload(stage.engine, bytes.length);
  const begin = (Key: string) => client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
  await begin(`media/${id}/source`);
  await begin('media/00000000-0000-7000-8000-000000000000/source');
  await begin('backup.tar');
  const eager = await startEngine(stage.ground, { uploads: { strayAfterMs: -60_000 } });
  await eager.uploads.sweep();
  await eager.close();
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  const keys = Uploads.map((upload) => upload.Key);
  expect(keys).toEqual(
    expect.arrayContaining(['backup.tar', 'media/00000000-0000-7000-8000-000000000000/source']),
  );
  expect(keys).not.toContain(`media/${id}/source`);
});
