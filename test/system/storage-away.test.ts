/** A bucket that is away while media are encoded: they wait for it, however long, and are none the worse. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeClip } from '../media.ts';
import { eventually, startServer, type TestServer } from '../server.ts';
import { s3Environment, startS3 } from '../services/s3.ts';
import { uploadFile } from '../tus.ts';
import { startFaultProxy, type FaultProxy } from '../uploads/fault-proxy.ts';
import { expectPlays, settled } from './flow.ts';

let proxy: FaultProxy;
let server: TestServer;
let clip: string;
beforeAll(async () => {
  const bucket = await startS3();
  proxy = await startFaultProxy(bucket.endpoint);
  const quick = {
    LADDER: '144',
    X264_PRESET: 'ultrafast',
    STORYBOARD: 'off',
    WAVEFORM: 'off',
    EARLY: 'false',
  };
  server = await startServer({ ...s3Environment({ ...bucket, endpoint: proxy.url }), ...quick });
  clip = await makeClip();
});
afterAll(async () => {
  await server?.dispose();
  await proxy?.close();
  if (clip) await rm(dirname(clip), { recursive: true });
});

interface Job {
  task: string;
  status: string;
  attempts: number;
  error?: { code: string };
}

const jobsOf = async (mediaId: string): Promise<Job[]> => {
  const answer = await server.fetch(`/api/jobs?media=${mediaId}`);
  return ((await answer.json()) as { items: Job[] }).items;
};

it('waits for it without using up attempts', async () => {
  let away = false;
  // What the finish of the upload needs is let through: the outage begins with the first look at the source.
  proxy.rule = ({ operation }) => {
    away ||= operation === 'GetObject';
    return away ? 'expired' : 'pass';
  };
  const id = await uploadFile(server, clip);
  const waiting = await eventually(async () =>
    (await jobsOf(id)).find(({ error }) => error?.code === 'storage_unavailable'),
  );
  expect(waiting).toMatchObject({ task: 'probe', attempts: 0 });
  proxy.rule = () => 'pass';
  const media = await settled(server, id);
  expect(media).toMatchObject({ status: 'ready' });
  await expectPlays(server, media);
  expect((await jobsOf(id)).find(({ task }) => task === 'probe')).toMatchObject({ attempts: 1 });
});
