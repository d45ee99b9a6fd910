/** Playlists and pictures of the stand-in: for whoever has the uid, or a token where the video requires one. */
import { createVerify, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { basename, extname, join } from 'node:path';
import type { Video } from './video.ts';
import type { World } from './world.ts';

const TYPES: Record<string, string> = {
  '.m3u8': 'application/x-mpegURL',
  '.ts': 'video/mp2t',
  '.jpg': 'image/jpeg',
};

export function play(world: World, url: URL, res: ServerResponse): void {
  const [, name = '', ...rest] = url.pathname.split('/');
  const video = world.videos.get(name) ?? videoOfToken(world, name);
  const allowed = video && (name !== video.uid || !video.requireSignedURLs);
  if (!video || video.deleted || !allowed) return void res.writeHead(allowed === false ? 401 : 404).end();
  res.setHeader('Access-Control-Allow-Origin', '*');
  if (rest.join('/') === 'manifest/video.m3u8')
    return void res
      .writeHead(video.readyToStream ? 200 : 404, { 'Content-Type': 'application/x-mpegURL' })
      .end(`#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\n/${name}/manifest/${video.uid}.m3u8\n`);
  if (world.film) {
    const file = basename(rest.at(-1)!)
      .replace(`${video.uid}.m3u8`, 'index.m3u8')
      .replace('thumbnail.jpg', 'poster.jpg');
    const type = TYPES[extname(file)];
    if (type)
      return void res.writeHead(200, { 'Content-Type': type }).end(readFileSync(join(world.film, file)));
  }
  if (rest.join('/') === 'thumbnails/thumbnail.jpg')
    return void res.writeHead(200, { 'Content-Type': 'image/jpeg' }).end('a picture');
  res.writeHead(404).end();
}

/** A token it issued, or a JWT signed with the key it was given. */
function videoOfToken(world: World, token: string): Video | undefined {
  const issued = world.issued.get(token);
  if (issued) return world.videos.get(issued);
  const [header = '', claims = '', signature = ''] = token.split('.');
  if (!world.signingKey || !signature || !isSignedBy(world.signingKey, `${header}.${claims}`, signature))
    return undefined;
  const { alg, kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as Record<string, unknown>;
  const { sub, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>;
  if (alg !== 'RS256' || typeof kid !== 'string' || Number(exp) < Date.now() / 1000) return undefined;
  return world.videos.get(String(sub));
}

const isSignedBy = (key: KeyObject, text: string, signature: string): boolean =>
  createVerify('RSA-SHA256').update(text).verify(key, signature, 'base64url');
