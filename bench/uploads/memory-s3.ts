/**
 * "An S3 that runs elsewhere": a server that speaks as much of S3 as uploads need, in a process of its own that costs
 * little. With a real one on the same cores (Ceph takes 7 to 14 s of processor time per GiB) a table shows that server;
 * with this one it shows what the subjects cost when the bucket is another machine's work.
 *
 * It is no test of correctness: it keeps objects in memory and of parts only their sizes, checks no signature and computes
 * no digest. That both subjects do right is proved with the real one.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { answerCounts, countsOf, type BucketCounts, type CountedBucket } from './counted-bucket.ts';
import { createBucket } from './memory-bucket.ts';

/** Starts it with one empty bucket. Each request waits for `delayMs` before more than its head is read. */
export async function startMemoryS3(delayMs: number): Promise<CountedBucket> {
  const child = fork(fileURLToPath(import.meta.url), [String(delayMs)], { execArgv: ['--import', 'tsx'] });
  const [port] = (await once(child, 'message')) as [number];
  return {
    access: {
      ...{ endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', bucket: 'bench' },
      ...{ accessKey: 'bench', secretKey: 'bench', forcePathStyle: true },
    },
    ...countsOf(child),
  };
}

async function listen(delayMs: number): Promise<void> {
  const bucket = createBucket();
  const counts: BucketCounts = { calls: 0, bytes: 0 };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (delayMs) await sleep(delayMs);
    if (request.headers.expect) response.writeContinue();
    const { method = '', url = '', headers } = request;
    const { pathname, searchParams: query } = new URL(url, 'http://s3');
    const key = decodeURIComponent(pathname.split('/').slice(2).join('/'));
    const { body, size } = await received(request, !query.has('partNumber'));
    const answer = bucket({ method, key, query, headers, body, size });
    counts.calls++;
    if (method === 'PUT' && answer.status === 200) counts.bytes += size;
    response.writeHead(answer.status, answer.headers).end(answer.body);
  }

  /** Nobody reads parts of uploads that are never finished, and pages of new memory would cost more than all else. */
  async function received(
    request: IncomingMessage,
    keep: boolean,
  ): Promise<{ body: Buffer[]; size: number }> {
    const body: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (keep) body.push(chunk);
    });
    await once(request, 'end');
    return { body, size };
  }

  // A request that its client gave up ends with its connection.
  const start = (request: IncomingMessage, response: ServerResponse): void =>
    void serve(request, response).catch(() => request.destroy());
  const server = createServer({ requestTimeout: 0 }, start).on('checkContinue', start);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  answerCounts((server.address() as AddressInfo).port, counts);
}

const [, , delay] = process.argv;
if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) {
  await listen(Number(delay));
}
