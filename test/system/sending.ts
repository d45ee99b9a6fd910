/** Uploads that stop on their way, and what viewers see of them meanwhile. */
import { execa } from 'execa';
import HLS from 'hls-parser';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeErrors } from '../media.ts';
import { eventually, type TestServer } from '../server.ts';
import { create, mediaIdOf, metadata } from '../tus.ts';
import { getMedia } from './flow.ts';

export interface Sending {
  id: string;
  /** Sends what is missing up to this part of the whole, in slices; each to the next of the servers. The last status. */
  to(part: number): Promise<number>;
  /** Asks where the upload stands after a server was killed: the slices go on from there. */
  resume(): Promise<void>;
}

const SLICE = 400_000;

/** Begins an upload of a public media. */
export async function begin(
  servers: [TestServer, ...TestServer[]],
  bytes: Buffer,
  wishes: Record<string, string> = {},
  headers: Record<string, string> = {},
): Promise<Sending> {
  const answer = await create(servers[0], {
    'upload-length': String(bytes.length),
    'upload-metadata': metadata({ filename: 'a', visibility: 'public', ...wishes }),
    ...headers,
  });
  expect(answer.status).toBe(201);
  const path = new URL(answer.headers.get('location')!).pathname;
  let offset = 0;
  let turn = 0;
  const next = (): TestServer => servers[turn++ % servers.length] ?? servers[0];
  return {
    id: mediaIdOf(`http://x${path}`),
    async to(part) {
      const end = Math.floor(bytes.length * part);
      let status = 204;
      while (offset < end && status === 204) {
        const slice = bytes.subarray(offset, Math.min(end, offset + SLICE));
        const sent = await next().fetch(path, {
          method: 'PATCH',
          headers: {
            'tus-resumable': '1.0.0',
            'content-type': 'application/offset+octet-stream',
            'upload-offset': String(offset),
          },
          body: new Uint8Array(slice),
        });
        status = sent.status;
        offset += slice.length;
      }
      return status;
    },
    async resume() {
      const head = await next().fetch(path, { method: 'HEAD', headers: { 'tus-resumable': '1.0.0' } });
      offset = Number(head.headers.get('upload-offset'));
    },
  };
}

/** Sends little by little while the work goes on: a busy machine may need long for it, and silence would end what is early. */
export async function trickle<T>(sending: Sending, work: () => Promise<T>): Promise<T> {
  let working = true;
  const send = async (): Promise<void> => {
    for (let part = 0.85; working; await sleep(200)) await sending.to((part += (0.95 - part) / 1_000));
  };
  const [done] = await Promise.all([work().finally(() => (working = false)), send()]);
  return done;
}

interface Job {
  task: string;
  status: string;
  attempts: number;
}

async function listJobs(server: TestServer, id: string): Promise<Job[]> {
  const answer = await server.fetch(`/api/jobs?media=${id}&limit=100`);
  return ((await answer.json()) as { items: Job[] }).items;
}

/** Statuses of a media's jobs, by their tasks. */
export async function jobsOf(server: TestServer, id: string): Promise<Record<string, string>> {
  return Object.fromEntries((await listJobs(server, id)).map(({ task, status }) => [task, status]));
}

/**
 * Waits until the upload of a media is followed once more, after who followed it was killed: only when a lease has ended.
 * An upload that is complete before that goes the ordinary way.
 */
export const followedAgain = (server: TestServer, id: string): Promise<boolean> =>
  eventually(async () =>
    (await listJobs(server, id)).some(
      ({ task, status, attempts }) => task === 'early' && status === 'running' && attempts > 1,
    ),
  );

/** Ends the upload as a client does that wants it no more, and waits until what there was of it is gone. */
export async function terminate(server: TestServer, id: string): Promise<void> {
  const headers = { 'tus-resumable': '1.0.0' };
  expect((await server.fetch(`/files/${id}`, { method: 'DELETE', headers })).status).toBe(204);
  await eventually(async () => (await jobsOf(server, id)).discard === 'succeeded');
}

/** Addresses of the renditions that can be watched now, the first picture and its sounds. */
export async function renditions(server: TestServer, id: string): Promise<string[] | undefined> {
  const url = `${server.url}/media/${id}/hls/index.m3u8`;
  const answer = await fetch(url);
  if (!answer.ok) return undefined;
  const playlist = HLS.parse(await answer.text());
  if (!playlist.isMasterPlaylist) throw new Error('not a multivariant playlist');
  const [variant] = playlist.variants;
  const uris = [variant?.uri ?? '', ...(variant?.audio.map((a) => a.uri ?? '') ?? [])];
  return uris.map((uri) => new URL(uri, url).href);
}

/** What a media playlist tells of now. */
export async function segmentsAt(url: string): Promise<{ count: number; ended: boolean; uris: string[] }> {
  const text = await (await fetch(url)).text();
  if (!text.startsWith('#EXTM3U')) throw new Error(text);
  const playlist = HLS.parse(text);
  if (playlist.isMasterPlaylist) throw new Error('not a media playlist');
  return {
    count: playlist.segments.length,
    ended: playlist.endlist,
    uris: playlist.segments.map(({ uri }) => uri),
  };
}

/** Everything decodes, and no picture is missing or there twice. */
export async function expectWhole([picture = '', ...sounds]: string[], frames?: number): Promise<void> {
  const { ended, uris } = await segmentsAt(picture);
  expect(ended).toBe(true);
  expect(new Set(uris).size).toBe(uris.length);
  expect(await decodeErrors(picture, ...sounds)).toBe('');
  if (frames === undefined) return;
  const { stdout } = await execa('ffprobe', [
    ...['-v', 'error', '-count_frames', '-select_streams', 'v:0', '-show_entries', 'stream=nb_read_frames'],
    ...['-of', 'csv=p=0', picture],
  ]);
  expect(Number.parseInt(stdout, 10)).toBe(frames);
}

/** Waits until the media can be watched, all of it uploaded. */
export const playable = (server: TestServer, id: string): Promise<string[]> =>
  eventually(async () => {
    const { status } = await getMedia(server, id);
    if (['failed', 'cancelled'].includes(status)) throw new Error(`it ${status}`);
    return ['playable', 'ready'].includes(status) && renditions(server, id);
  });
