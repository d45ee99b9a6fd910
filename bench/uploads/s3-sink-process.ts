/** The bare sink in front of S3: each PATCH is one object, piped into the bucket as it comes. What the bucket takes when nobody promises anything. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { s3Settings } from './s3-settings.ts';

const { PORT, S3_BUCKET } = process.env;

const client = new S3Client({ ...s3Settings, expectContinueHeader: false });
client.middlewareStack.add(
  (next) => (args) => {
    (args.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] =
      'UNSIGNED-PAYLOAD';
    return next(args);
  },
  { step: 'build', name: 'leaveBytesUnsigned' },
);

const put = (request: IncomingMessage): Promise<unknown> =>
  client.send(
    new PutObjectCommand({
      Bucket: S3_BUCKET,
      Key: randomUUID(),
      Body: request,
      ContentLength: Number(request.headers['content-length']),
    }),
  );

const server = createServer({ requestTimeout: 0 }, (request, response) => {
  if (request.method !== 'PATCH') {
    response.writeHead(201, { Location: `/files/${randomUUID()}`, 'Content-Length': '0' }).end();
    return;
  }
  const end = Number(request.headers['upload-offset']) + Number(request.headers['content-length']);
  put(request).then(
    () => response.writeHead(204, { 'Upload-Offset': end }).end(),
    () => request.destroy(),
  );
});
server.listen(Number(PORT), '127.0.0.1', () => process.stdout.write('ready\n'));
