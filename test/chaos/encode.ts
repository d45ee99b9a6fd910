/**
 * One large file through a network that keeps breaking (s3: with PostgreSQL), with the server killed in the middle of the
 * upload and in the middle of the encode. TEST_SEED replays it.
 */
import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import { decodeErrors, durationOf } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { s3AndPostgres } from '../system/flow.ts';
import { mediaIdOf } from '../tus.ts';
import { startCuttingProxy } from '../uploads/cutting-proxy.ts';
import { seededRandom, type Random } from '../uploads/random.ts';

interface MediaView {
  status: string;
  source: { duration: number } | null;
  playback: { hls: string } | null;
  progress: { percent: number; step: string } | null;
  error?: { message: string };
}

/** Uploads one file of about `size` bytes and has it encoded, and says how it went. Sets the exit code. */
export async function encodeOne(storage: 'disk' | 's3', size: number): Promise<void> {
  const random = seededRandom('chaos');
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chaos-'));
  const server = await startServer({ JOB_LEASE: '5s', LADDER: '360', ...(await storageOf(storage)) });
  try {
    const source = await makeSource(join(folder, 'source.mov'), size);
    const id = await uploadThroughCuts(server, source, random);
    const sent = await sha256(createReadStream(source));
    const stored = await sha256((await server.fetch(`/media/${id}/source`)).body!);
    if (sent !== stored) throw new Error(`the stored file differs: ${stored}, sent ${sent}`);
    say(`SHA-256 equal: ${stored}`);
    await killDuringEncode(server, id);
    await expectPlays(server, id);
    console.log('1 passed, 0 failed');
  } catch (error) {
    console.error(error, server.output().slice(-8000));
    console.log('0 passed, 1 failed');
    process.exitCode = 1;
  } finally {
    await server.dispose();
    await rm(folder, { recursive: true, force: true });
  }
}

async function storageOf(name: string): Promise<Record<string, string>> {
  if (name === 'disk') return {};
  return (await s3AndPostgres()).env;
}

/** Noise compresses badly, so a short clip becomes a large file. */
async function makeSource(path: string, bytesWanted: number): Promise<string> {
  const frames = ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30,noise=alls=80:allf=t'];
  const sound = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'];
  const codecs = ['-c:v', 'mjpeg', '-q:v', '2', '-pix_fmt', 'yuvj420p', '-c:a', 'aac', '-shortest'];
  const limit = ['-fs', String(bytesWanted)];
  await execa('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...frames, ...sound, ...codecs, ...limit, path]);
  say(`source: ${(await stat(path)).size} bytes, ${await durationOf(path)} s`);
  return path;
}

/** tus-js-client through the proxy; the server is killed once, at a random place of the file. */
async function uploadThroughCuts(to: TestServer, path: string, random: Random): Promise<string> {
  const total = (await stat(path)).size;
  const port = Number(new URL(to.url).port);
  const proxy = await startCuttingProxy(() => port, random, {
    min: Math.round(total / 100),
    max: Math.round(total / 15),
  });
  const killAt = random.between(Math.round(total * 0.2), Math.round(total * 0.8));
  let killing: Promise<void> | undefined;
  let highest = 0;
  const since = Date.now();
  const upload = await new Promise<Upload>((resolve, reject) => {
    const own = new Upload(createReadStream(path), {
      endpoint: `http://127.0.0.1:${proxy.port}/files`,
      headers: { authorization: `Bearer ${to.adminKey}` },
      metadata: { filename: 'source.mov' },
      uploadSize: total,
      chunkSize: Number.POSITIVE_INFINITY,
      retryDelays: Array.from({ length: 20 }, () => 200),
      onAfterResponse: (_request, response) => {
        const offset = Number(response.getHeader('Upload-Offset') ?? 0);
        if (offset < highest) reject(new Error(`the offset went from ${highest} back to ${offset}`));
        highest = Math.max(highest, offset);
      },
      onProgress: (sent) => {
        if (sent < killAt || killing) return;
        killing = to.kill().then(() => to.restart());
        killing.catch(reject);
      },
      onError: reject,
      onSuccess: () => resolve(own),
    });
    own.start();
  });
  await killing;
  await proxy.close();
  const seconds = (Date.now() - since) / 1000;
  say(`uploaded in ${seconds.toFixed(1)} s: ${proxy.cuts()} cuts, 1 kill -9 near byte ${killAt}`);
  return mediaIdOf(upload.url ?? '');
}

async function killDuringEncode(to: TestServer, id: string): Promise<void> {
  const { progress } = await eventually(async () => {
    const media = await view(to, id);
    return media.progress?.step === 'ladder' && media.progress.percent > 5 && media;
  }, 300_000);
  await to.kill();
  await to.restart();
  say(`kill -9 at ${progress?.percent} % of the encode`);
}

async function expectPlays(to: TestServer, id: string): Promise<void> {
  const media = await eventually(async () => {
    const now = await view(to, id);
    if (now.error) throw new Error(now.error.message);
    return now.status === 'ready' && now;
  }, 900_000);
  const url = new URL(media.playback!.hls, to.url).href;
  const complaints = await decodeErrors(url);
  if (complaints) throw new Error(`it does not decode cleanly: ${complaints}`);
  const duration = await durationOf(url);
  if (Math.abs(duration - media.source!.duration) > 0.2)
    throw new Error(`it lasts ${duration} s, the source ${media.source!.duration} s`);
  say(`plays: ${duration} s, decoded without an error`);
}

async function view(to: TestServer, id: string): Promise<MediaView> {
  return (await (await to.fetch(`/api/media/${id}`)).json()) as MediaView;
}

async function sha256(stream: AsyncIterable<unknown>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

function say(line: string): void {
  console.log(line);
}
