/** An honest stand-in for Cloudflare Stream: a real HTTP server that checks requests strictly and plays the documented faults. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { z } from 'zod';
import { CONNECTIONS } from '../../../server/http/connections.ts';
import type { Faults } from './faults.ts';
import { control } from './control.ts';
import { play } from './playback.ts';
import { copyRequest, editRequest, listQuery, tokenRequest, webhookRequest } from './requests.ts';
import { tus } from './tus.ts';
import { show, type Video } from './video.ts';
import { World, type WorldOptions } from './world.ts';

export const ACCOUNT = '023e105f4ecef8ad9ca31a8372d0c353';
export const TOKEN = 'a-token-for-the-stand-in';

export interface StandIn {
  /** STREAM_API_URL. */
  url: string;
  world: World;
  close(): Promise<void>;
}

/** What a request handler works with. */
export interface Call {
  world: World;
  req: IncomingMessage;
  res: ServerResponse;
  /** Below `/accounts/{id}/stream`. */
  path: string;
  query: URLSearchParams;
  body: Buffer;
}

export async function startStandIn(options: WorldOptions & { port?: number } = {}): Promise<StandIn> {
  const world = new World(options);
  const server = createServer(CONNECTIONS, (req, res) => {
    handle(world, req, res).catch((error: unknown) => {
      world.violations.push(`the stand-in failed: ${String(error)}`);
      if (!res.headersSent) fail(res, 500, 10_000, 'stand-in');
    });
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  world.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `${world.origin}/client/v4`,
    world,
    async close() {
      world.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function handle(world: World, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const url = new URL(req.url ?? '/', world.origin);
  const root = `/client/v4/accounts/${ACCOUNT}/stream`;
  if (url.pathname.startsWith('/control/')) return control(world, req, res, url.pathname);
  if (
    url.pathname.startsWith('/upload/') ||
    (req.method === 'POST' && url.pathname === root && req.headers['tus-resumable'])
  )
    return authorized(req) ? tus(world, req, res, url) : fail(res, 401, 10_000, 'Authentication error');
  if (!url.pathname.startsWith('/client/')) return play(world, url, res);
  const body = await buffer(req);
  if (!authorized(req)) return fail(res, 401, 10_000, 'Authentication error');
  if (!url.pathname.startsWith(root)) return fail(res, 404, 10_001, 'Not found');
  const path = url.pathname.slice(root.length);
  world.calls.push(`${req.method} ${path}`);
  if (world.strikes('tooMany'))
    return void fail(res.setHeader('Retry-After', '1'), 429, 10_014, 'Rate limited');
  await route({ world, req, res, path, query: url.searchParams, body });
}

const authorized = (req: IncomingMessage): boolean => req.headers.authorization === `Bearer ${TOKEN}`;

async function route(call: Call): Promise<void> {
  const { req, res, path, world } = call;
  const [, first = '', second = '', third = ''] = path.split('/');
  const action = `${req.method} ${path}`;
  if (action === 'POST /copy') return copy(call);
  if (action === 'GET ') return list(call);
  if (first === 'webhook' && !second) return webhook(call);
  const video = world.videos.get(first);
  if (!video || video.deleted || (req.method === 'GET' && world.strikes('notFound')))
    return fail(res, 404, 10_003, 'Not Found');
  if (!second) return one(call, video);
  if (second === 'token' && req.method === 'POST') return token(call, video);
  if (second === 'captions' && third && req.method === 'PUT') return captions(call, video, third);
  refuse(call, `nothing is documented at ${action}`);
}

/** Answers with `result`; `success` and the empty lists are part of every answer. */
export function answer(res: ServerResponse, result: unknown, status = 200): void {
  res.writeHead(status, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ result, success: true, errors: [], messages: [] }));
}

export function fail(res: ServerResponse, status: number, code: number, message: string): void {
  res.writeHead(status, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ result: null, success: false, errors: [{ code, message }], messages: [] }));
}

/** A request that no documentation covers: a fault of ours, which tests look for at their end. */
export function refuse(
  { world, res, req, path }: Pick<Call, 'world' | 'res' | 'req' | 'path'>,
  why: string,
): void {
  world.violations.push(`${req.method} ${path}: ${why}`);
  fail(res, 400, 10_005, why);
}

/** The body by its schema; undefined after answering 400. */
function read<T extends z.ZodType>(call: Call, schema: T): z.infer<T> | undefined {
  if (call.req.headers['content-type'] !== 'application/json')
    return void refuse(call, 'the body is not JSON');
  const parsed = schema.safeParse(JSON.parse(call.body.toString()));
  return parsed.success ? parsed.data : void refuse(call, parsed.error.message);
}

async function copy(call: Call): Promise<void> {
  const { world, res, req } = call;
  const body = read(call, copyRequest);
  if (!body) return;
  const creator = req.headers['upload-creator'];
  if (creator !== undefined && creator !== body.creator)
    return refuse(call, 'Upload-Creator is another creator');
  if (world.strikes('tooLarge') || world.inFlight >= world.options.maxInFlight)
    return void fail(
      res.setHeader('Retry-After', '1'),
      world.random() < 0.5 ? 413 : 429,
      10_011,
      'Too many videos queued',
    );
  if (world.strikes('badGatewayBefore')) return void res.writeHead(502).end('<html>bad gateway</html>');
  const video = world.create({
    meta: body.meta ?? {},
    creator: body.creator ?? null,
    requireSignedURLs: body.requireSignedURLs ?? false,
    input: body.input,
    push: undefined,
  });
  // A webhook can be faster than the answer.
  if (world.strikes('early') && world.webhook)
    await world.send(video, JSON.stringify(show(video, world.origin)));
  if (world.strikes('hangUp')) return void res.destroy();
  if (world.strikes('badGatewayAfter')) return void res.writeHead(502).end('<html>bad gateway</html>');
  answer(res, show(video, world.origin));
}

function list(call: Call): void {
  const { world, res, query } = call;
  const parsed = listQuery.safeParse(Object.fromEntries(query));
  if (!parsed.success) return refuse(call, parsed.error.message);
  const { id, video_name: name, asc, limit = 1000, status } = parsed.data;
  const ids = id?.split(',');
  const shown = world.live
    .filter((video) => Date.now() - video.created >= world.options.listLagMs)
    .filter((video) => (ids ? ids.includes(video.uid) : true))
    .filter((video) => (name === undefined ? true : video.meta.name === name))
    .filter((video) => (status === undefined ? true : video.state === status))
    .sort((a, b) => (asc === 'true' ? a.created - b.created : b.created - a.created))
    .slice(0, limit);
  answer(
    res,
    shown.map((video) => shownAs(world, video)),
  );
}

const shownAs = (world: World, video: Video): Record<string, unknown> =>
  (world.strikes('stale') ? video.before : undefined) ?? show(video, world.origin);

function one(call: Call, video: Video): void {
  const { world, res, req } = call;
  if (req.method === 'GET') return answer(res, shownAs(world, video));
  if (req.method === 'DELETE') {
    video.deleted = true;
    return void res.writeHead(200).end();
  }
  if (req.method !== 'POST') return refuse(call, 'no such method');
  const body = read(call, editRequest);
  if (!body) return;
  if (body.requireSignedURLs !== undefined) video.requireSignedURLs = body.requireSignedURLs;
  answer(res, show(video, world.origin));
}

function webhook(call: Call): void {
  const { world, res, req } = call;
  const shown = (): Record<string, unknown> => ({
    notificationUrl: world.webhook!.url,
    notification_url: world.webhook!.url,
    modified: new Date().toISOString(),
    secret: world.webhook!.secret,
  });
  if (req.method === 'GET')
    return world.webhook ? answer(res, shown()) : fail(res, 404, 10_003, 'no webhook is set');
  if (req.method === 'DELETE') {
    world.webhook = undefined;
    return answer(res, '');
  }
  if (req.method !== 'PUT') return refuse(call, 'no such method');
  const body = read(call, webhookRequest);
  if (!body) return;
  world.subscribe(body.notificationUrl ?? body.notification_url ?? '');
  answer(res, shown());
}

function token(call: Call, video: Video): void {
  const body = call.body.length ? read(call, tokenRequest) : {};
  if (!body) return;
  const now = Date.now() / 1000;
  if (body.exp !== undefined && (body.exp < now || body.exp > now + 86_460))
    return refuse(call, 'exp is not within 24 hours');
  answer(call.res, { token: call.world.issue(video.uid) });
}

async function captions(call: Call, video: Video, language: string): Promise<void> {
  const form = await new Response(new Uint8Array(call.body), {
    headers: { 'Content-Type': call.req.headers['content-type'] ?? '' },
  }).formData();
  const file = form.get('file');
  if (!(file instanceof Blob) || [...form.keys()].length !== 1) return refuse(call, 'needs one field: file');
  const text = await file.text();
  if (!text.startsWith('WEBVTT')) return refuse(call, 'not WebVTT');
  video.captions[language] = text;
  answer(call.res, { language, label: language, generated: false, status: 'ready' });
}

export type { Faults };
