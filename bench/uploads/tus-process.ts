/** The bare packages: @tus/server with its own store, as their manuals start it. */
import { FileStore } from '@tus/file-store';
import { S3Store } from '@tus/s3-store';
import { Server } from '@tus/server';

const { SINK_DIR = '', PORT, S3_BUCKET, S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY } = process.env;

const datastore = S3_BUCKET
  ? new S3Store({
      partSize: 8 * 1024 * 1024,
      useTags: false,
      s3ClientConfig: {
        bucket: S3_BUCKET,
        endpoint: S3_ENDPOINT ?? '',
        region: S3_REGION ?? '',
        forcePathStyle: true,
        credentials: { accessKeyId: S3_ACCESS_KEY ?? '', secretAccessKey: S3_SECRET_KEY ?? '' },
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
      },
    })
  : new FileStore({ directory: SINK_DIR });

new Server({ path: '/files', datastore }).listen(Number(PORT), '127.0.0.1', () => {
  process.stdout.write('ready\n');
});
