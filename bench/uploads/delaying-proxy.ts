/** A proxy in front of an S3 server, in a process of its own, that counts calls and bytes and makes each call take longer. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TestS3 } from '../../test/services/s3.ts';
import { answerCounts, countsOf, type BucketCounts, type CountedBucket } from './counted-bucket.ts';

/** Passes everything on to a bucket; the head of each request waits for `delayMs` first. */
export async function startDelayingProxy(bucket: TestS3, delayMs: number): Promise<CountedBucket> {
  const child = fork(fileURLToPath(import.meta.url), [bucket.endpoint, String(delayMs)], {
    execArgv: ['--import', 'tsx'],
  });
  const [port] = (await once(child, 'message')) as [number];
  return { access: { ...bucket, endpoint: `http://127.0.0.1:${port}` }, ...countsOf(child) };
}

/** Reads requests by their Content-Length, which all of S3's have that carry a body. */
function pass(client: Socket, upstream: Socket, delayMs: number, counts: BucketCounts): void {
  let head = Buffer.alloc(0);
  let body = 0;
  let queue = Promise.resolve();
  const end = (): void => void (client.destroy(), upstream.destroy());
  for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
  upstream.pipe(client);
  const send = async (bytes: Buffer): Promise<void> => {
    if (!upstream.destroyed && !upstream.write(bytes)) await once(upstream, 'drain').catch(() => undefined);
  };
  const take = async (chunk: Buffer): Promise<void> => {
    for (let rest = chunk; rest.length;) {
      if (body > 0) {
        const part = rest.subarray(0, body);
        body -= part.length;
        rest = rest.subarray(part.length);
        await send(part);
        continue;
      }
      head = Buffer.concat([head, rest]);
      const at = head.indexOf('\r\n\r\n');
      if (at < 0) return;
      const whole = head.subarray(0, at + 4);
      rest = head.subarray(at + 4);
      head = Buffer.alloc(0);
      const text = whole.toString('latin1');
      body = Number(/^content-length: *(\d+)/im.exec(text)?.[1] ?? 0);
      counts.calls++;
      if (text.startsWith('PUT ')) counts.bytes += body;
      if (delayMs) await new Promise((resolve) => setTimeout(resolve, delayMs));
      await send(whole);
    }
  };
  client.on('data', (chunk: Buffer) => {
    client.pause();
    queue = queue.then(() => take(chunk)).then(() => void client.resume(), end);
  });
}

const [, , target, delay] = process.argv;
if (process.send && target && process.argv[1] === fileURLToPath(import.meta.url)) {
  const { hostname, port } = new URL(target);
  const counts: BucketCounts = { calls: 0, bytes: 0 };
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    client.setNoDelay();
    upstream.setNoDelay();
    pass(client, upstream, Number(delay), counts);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  answerCounts((server.address() as AddressInfo).port, counts);
}
