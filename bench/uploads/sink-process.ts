/** The bare sink: `node:http`, each PATCH piped into a file. What no server in one process of Node is expected to beat by much. */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const folder = process.env['SINK_DIR'] ?? '';
/** Bytes are on the disk before the answer. */
const sync = process.env['SINK_SYNC'] !== undefined;

async function flush(path: string): Promise<void> {
  const file = await open(path);
  await file.datasync().finally(() => file.close());
}

const server = createServer({ requestTimeout: 0 }, (request, response) => {
  if (request.method !== 'PATCH') {
    response.writeHead(201, { Location: `/files/${randomUUID()}`, 'Content-Length': '0' }).end();
    return;
  }
  const start = Number(request.headers['upload-offset']);
  const path = join(folder, (request.url ?? '').split('/').at(-1) ?? '');
  const file = createWriteStream(path, {
    start,
    flags: start === 0 ? 'w' : 'r+',
  });
  const stored = pipeline(request, file).then(() => (sync ? flush(path) : undefined));
  stored.then(
    () => response.writeHead(204, { 'Upload-Offset': start + file.bytesWritten }).end(),
    () => request.destroy(),
  );
});
server.listen(Number(process.env['PORT']), '127.0.0.1', () => process.stdout.write('ready\n'));
