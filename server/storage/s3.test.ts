import { startS3 } from '../../test/services/s3.ts';
import { storageContract } from './contract.ts';
import { S3Storage } from './s3.ts';

storageContract(
  'S3',
  async () => new S3Storage({ ...(await startS3()), prefix: `contract-${process.pid}/` }),
);

describe('S3Storage', () => {
  it('keeps installations in one bucket apart by their prefix', async () => {
    const settings = await startS3();
    const [one, two] = ['one/', 'two/'].map((prefix) => new S3Storage({ ...settings, prefix }));
    await one!.put('media/x/source', 'one');
    expect(await two!.stat('media/x/source')).toBeUndefined();
    await two!.deletePrefix('media/');
    expect((await one!.stat('media/x/source'))?.size).toBe(3);
    await one!.deletePrefix('media/');
  });

  it('says that a bucket is missing', async () => {
    const storage = new S3Storage({ ...(await startS3()), bucket: 'no-such-bucket', prefix: '' });
    await expect(storage.check()).rejects.toThrow("no-such-bucket can't be used: it does not exist (404)");
  });
});
