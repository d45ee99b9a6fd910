/** Stream's tus endpoint: "a minimum chunk size of 5,242,880 bytes", "divisible by 256 KiB", but for the last one. */
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TUS_METADATA } from './requests.ts';
import { fail, refuse } from './server.ts';
import type { Video } from './video.ts';
import type { World } from './world.ts';

const MINIMUM = 5 * 1024 * 1024;
const STEP = 256 * 1024;
const hashes = new WeakMap<Video, Hash>();

export async function tus(world: World, req: IncomingMessage, res: ServerResponse, url: URL): Promise<void> {
  const path = url.pathname;
  world.calls.push(`tus ${req.method} ${path.startsWith('/upload/') ? '/upload' : ''}`);
  const call = { world, req, res, path };
  res.setHeader('Tus-Resumable', '1.0.0');
  if (req.headers['tus-resumable'] !== '1.0.0') return refuse(call, 'Tus-Resumable is missing');
  if (req.method === 'POST') return create(world, req, res);
  const video = world.videos.get(path.split('/')[2] ?? '');
  if (!video?.push || video.deleted) return fail(res, 404, 10_003, 'Not Found');
  if (req.method === 'HEAD')
    return void res
      .writeHead(200, {
        'Upload-Offset': String(video.push.offset),
        'Upload-Length': String(video.push.length),
      })
      .end();
  if (req.method !== 'PATCH') return refuse(call, 'no such method');
  await append(world, req, res, video, video.push);
}

function create(world: World, req: IncomingMessage, res: ServerResponse): void {
  const call = { world, req, res, path: '(tus)' };
  const length = Number(req.headers['upload-length'] ?? 'none');
  if (!Number.isSafeInteger(length)) return refuse(call, 'Upload-Length is missing');
  const pairs = String(req.headers['upload-metadata'] ?? '')
    .split(',')
    .map((pair) => pair.split(' '));
  const unknown = pairs.find(([key = '']) => !TUS_METADATA.has(key));
  if (unknown) return refuse(call, `Upload-Metadata: ${unknown[0]} is not supported`);
  const creator = req.headers['upload-creator'];
  if (typeof creator === 'string' && creator.length > 64) return refuse(call, 'Upload-Creator is too long');
  const metadata = new Map(
    pairs.map(([key = '', value = '']) => [key, Buffer.from(value, 'base64').toString()]),
  );
  if (world.strikes('tooMany'))
    return void fail(res.setHeader('Retry-After', '1'), 429, 10_014, 'Rate limited');
  const video = world.create({
    meta: metadata.has('name') ? { name: metadata.get('name')! } : {},
    creator: typeof creator === 'string' ? creator : null,
    requireSignedURLs: metadata.has('requiresignedurls'),
    input: undefined,
    push: { offset: 0, length },
  });
  hashes.set(video, createHash('sha256'));
  if (world.strikes('hangUp')) return void res.destroy();
  if (world.strikes('badGatewayAfter')) return void res.writeHead(502).end();
  res
    .writeHead(201, {
      Location: `${world.origin}/upload/${video.uid}?tusv2=true`,
      'Stream-Media-Id': video.uid,
    })
    .end();
}

/** Keeps what arrives, also of a request that is cut. */
async function append(
  world: World,
  req: IncomingMessage,
  res: ServerResponse,
  video: Video,
  push: { offset: number; length: number },
): Promise<void> {
  const call = { world, req, res, path: '/upload' };
  if (req.headers['content-type'] !== 'application/offset+octet-stream')
    return refuse(call, 'wrong Content-Type');
  if (Number(req.headers['upload-offset']) !== push.offset) return fail(res, 409, 10_009, 'wrong offset');
  const size = Number(req.headers['content-length'] ?? 'none');
  const last = push.offset + size === push.length;
  if (!Number.isSafeInteger(size) || (!last && (size < MINIMUM || size % STEP !== 0)))
    return refuse(call, `a chunk of ${size} bytes`);
  try {
    for await (const chunk of req) {
      hashes.get(video)!.update(chunk as Buffer);
      push.offset += (chunk as Buffer).length;
      if (push.offset >= world.holdPushAt && !req.socket.destroyed) await once(req.socket, 'close');
      if (push.offset > 1024 && !last && world.strikes('hangUp')) return void req.destroy();
    }
  } catch {
    return; // cut: what arrived stays
  }
  if (push.offset === push.length) {
    video.size = push.length;
    video.sha256 = hashes.get(video)!.digest('hex');
    world.pushed(video);
  }
  res.writeHead(204, { 'Upload-Offset': String(push.offset) }).end();
}
