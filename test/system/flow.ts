/** The whole way of one file: upload, encode, watch. The same checks for every database and storage. */
import { execa } from 'execa';
import HLS from 'hls-parser';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { decodeErrors } from '../media.ts';
import { openTestDatabase } from '../databases.ts';
import { eventually, type TestServer } from '../server.ts';
import { s3Environment, startS3 } from '../services/s3.ts';

export interface MediaView {
  id: string;
  status: string;
  source: { duration: number; video?: { frameRate: number }; audio: unknown[] } | null;
  playback: { hls: string; poster?: string } | null;
  error?: { code: string; message: string };
  upload: { offset: number; length: number };
}

export async function getMedia(server: TestServer, id: string): Promise<MediaView> {
  const answer = await server.fetch(`/api/media/${id}`);
  if (!answer.ok) throw new Error(`GET media answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as MediaView;
}

/** Waits until the media rests, whatever it became. */
export const settled = (server: TestServer, id: string, timeoutMs = 180_000): Promise<MediaView> =>
  eventually(async () => {
    const media = await getMedia(server, id);
    return ['ready', 'failed', 'cancelled'].includes(media.status) && media;
  }, timeoutMs);

/** The stored source is what was sent, bit for bit. */
export async function expectSameBytes(server: TestServer, id: string, path: string): Promise<void> {
  const hash = createHash('sha256');
  const answer = await server.fetch(`/media/${id}/source`);
  expect(answer.status).toBe(200);
  for await (const chunk of answer.body!) hash.update(chunk as Uint8Array);
  expect(hash.digest('hex')).toBe(
    createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  );
}

/** Every rung decodes without an error, lasts as long as the source, and starts together with its sound. */
export async function expectPlays(server: TestServer, media: MediaView): Promise<void> {
  const url = new URL(media.playback!.hls, server.url).href;
  const text = await (await fetch(url)).text();
  const playlist = HLS.parse(text);
  if (!playlist.isMasterPlaylist) throw new Error(`not a multivariant playlist:\n${text}`);
  const uris = [
    ...playlist.variants.filter((v) => !v.isIFrameOnly).map((v) => v.uri),
    ...playlist.variants.flatMap((v) => v.audio.map((a) => a.uri ?? '')).filter(Boolean),
  ];
  const frame = 1 / (media.source!.video?.frameRate || 25);
  const rungs = [...new Set(uris)].map((uri) => new URL(uri, url).href);
  expect(await decodeErrors(...rungs)).toBe('');
  for (const rung of rungs) {
    const segments = HLS.parse(await (await fetch(rung)).text());
    if (segments.isMasterPlaylist) throw new Error('a rung is a multivariant playlist');
    const seconds = segments.segments.reduce((sum, s) => sum + s.duration, 0);
    expect(Math.abs(seconds - media.source!.duration)).toBeLessThan(Math.max(frame, 0.05));
  }
}

/** First presentation times of the streams of the whole presentation, as a player would line them up. */
export async function startTimes(url: string): Promise<number[]> {
  const { stdout } = await execa('ffprobe', [
    ...['-v', 'error', '-show_entries', 'stream=start_time', '-of', 'csv=p=0', url],
  ]);
  return stdout
    .split('\n')
    .map((line) => Number.parseFloat(line))
    .filter(Number.isFinite);
}

/** Where servers keep what they know. */
export interface Installation {
  env: Record<string, string>;
  close?: () => Promise<void>;
}

/** A fresh database of a real PostgreSQL and a fresh bucket of a real S3 server. */
export async function s3AndPostgres(): Promise<Installation> {
  const s3 = await startS3();
  const database = await openTestDatabase('postgres', { migrated: false });
  return {
    env: { DATABASE_URL: database.url!, ...s3Environment(s3) },
    close: () => database.close(),
  };
}
