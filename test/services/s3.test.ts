import { HeadBucketCommand } from '@aws-sdk/client-s3';
import { connectS3, startS3 } from './s3.ts';

describe('startS3', () => {
  it('gives each caller a bucket of its own on one server', async () => {
    const [one, two] = await Promise.all([startS3(), startS3()]);
    expect(one.endpoint).toBe(two.endpoint);
    expect(one.bucket).not.toBe(two.bucket);
    const client = connectS3(one);
    await expect(client.send(new HeadBucketCommand({ Bucket: one.bucket }))).resolves.toBeDefined();
    client.destroy();
  });
});
