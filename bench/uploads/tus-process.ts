/** The bare packages: @tus/server with its own store, as their manuals start it. */
import { FileStore } from '@tus/file-store';
import { S3Store } from '@tus/s3-store';
import { Server } from '@tus/server';
import { s3Settings } from './s3-settings.ts';

const { SINK_DIR = '', PORT, S3_BUCKET } = process.env;

const datastore = S3_BUCKET
  ? new S3Store({
      partSize: 8 * 1024 * 1024,
      useTags: false,
      s3ClientConfig: { ...s3Settings, bucket: S3_BUCKET },
    })
  : new FileStore({ directory: SINK_DIR });

new Server({ path: '/files', datastore }).listen(Number(PORT), '127.0.0.1', () => {
  process.stdout.write('ready\n');
});
