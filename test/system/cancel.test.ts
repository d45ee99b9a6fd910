/** A cancel ends a job whatever it is waiting for: here for an S3 server that has stopped to answer. */
import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { makeMedia } from '../media.ts';
import { processesWith } from '../processes.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { connectS3, s3Environment, startS3, type TestS3 } from '../services/s3.ts';
import { slowFfmpeg, type SlowFfmpeg } from '../slow-ffmpeg.ts';
import { uploadFile } from '../tus.ts';
import { startFaultProxy, type FaultProxy, type S3Call } from '../uploads/fault-proxy.ts';

let s3: TestS3;
let client: S3Client;
let proxy: FaultProxy;
let ffmpeg: SlowFfmpeg;
let scratch: string;
let server: TestServer;
let film: string;
beforeAll(async () => {
  s3 = await startS3();
  client = connectS3(s3);
  proxy = await startFaultProxy(s3.endpoint);
  // It is still at work when its first segments are stored.
  ffmpeg = await slowFfmpeg(2);
  scratch = await mkdtemp(join(tmpdir(), 'millrace-cancel-'));
  film = await makeMedia('film.mkv', [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=25:duration=10', '-c:v', 'mpeg4'],
  ]);
  const quick = { LADDER: '120', X264_PRESET: 'ultrafast', WORKER_CONCURRENCY: '1' };
  const storage = { ...s3Environment(s3), S3_ENDPOINT: proxy.url, SCRATCH_DIR: scratch };
  server = await startServer({ ...ffmpeg.env, ...quick, ...storage });
});
afterAll(async () => {
  await server?.dispose();
  await proxy?.close();
  await ffmpeg?.dispose();
  client?.destroy();
  if (scratch) await rm(scratch, { recursive: true });
  if (film) await rm(dirname(film), { recursive: true });
});

/** Lets the first call that `which` means, and those after it, wait for `release`, and breaks them then. */
function hold(which: (call: S3Call) => boolean) {
  let release!: () => void;
  const released = new Promise<void>((resolve) => (release = resolve));
  let held = 0;
  proxy.rule = async (call) => {
    if (!which(call)) return 'pass';
    held++;
    await released;
    return 'reset';
  };
  return { release, held: () => held };
}

const jobsOf = async (id: string): Promise<{ task: string; status: string }[]> => {
  const { items } = (await (await server.fetch(`/api/jobs?media=${id}`)).json()) as {
    items: { task: string; status: string }[];
  };
  return items;
};

const stored = async (id: string): Promise<(string | undefined)[]> => {
  const { Contents = [] } = await client.send(
    new ListObjectsV2Command({ Bucket: s3.bucket, Prefix: `media/${id}/` }),
  );
  return Contents.map(({ Key }) => Key);
};

const isStore = ({ method }: S3Call): boolean => method === 'PUT' || method === 'POST';

it.each([
  [
    'its source is being fetched',
    { operation: 'GetObject', key: /\/source$/, task: 'probe', encodes: false },
  ],
  ['a segment is being stored', { operation: 'PutObject', key: /\.m4s$/, task: 'ladder', encodes: true }],
  [
    'a finished rendition is being read',
    { operation: 'GetObject', key: /\.m3u8$/, task: 'storyboard', encodes: false },
  ],
])(
  'while %s',
  async (_, { operation, key, task, encodes }) => {
    const { release, held } = hold((call) => call.operation === operation && key.test(call.key));
    const id = await uploadFile(server, film);
    await eventually(() => Promise.resolve(held() > 0));
    expect(await jobsOf(id)).toContainEqual(expect.objectContaining({ task, status: 'running' }));
    expect((await processesWith(scratch)).length > 0).toBe(encodes);

    const answer = await server.fetch(`/api/media/${id}/cancel`, { method: 'POST' });
    expect(answer.status).toBe(200);
    // S3 still answers nothing. Its silence would end the calls minutes later than this waits.
    await eventually(async () => (await jobsOf(id)).find((j) => j.task === task && j.status === 'cancelled'));
    const calls = proxy.calls.length;
    expect(await processesWith(scratch)).toEqual([]);
    expect(await readdir(scratch)).toEqual([]);

    // Nothing comes after it but the removal of what there was.
    await eventually(async () =>
      (await jobsOf(id)).find((j) => j.task === 'discard' && j.status === 'succeeded'),
    );
    expect(proxy.calls.slice(calls).filter((call) => isStore(call) && call.key.includes(id))).toEqual([]);
    expect(await stored(id)).toEqual([]);
    release();
  },
  300_000,
);
