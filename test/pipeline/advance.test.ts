/** What follows what, from rows alone, on both databases. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Db } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { loadConfig } from '../../server/config.ts';
import { newId } from '../../server/ids.ts';
import { cancelJob, claim, complete, fail } from '../../server/jobs/queue.ts';
import { deleteMedia } from '../../server/media/lifecycle.ts';
import { reopen, transition } from '../../server/media/media.ts';
import { newOutputId, publishOutput, type OutputKind } from '../../server/media/output.ts';
import { advance, cleanScratch, mediaFailed } from '../../server/pipeline/index.ts';
import { DIALECTS } from '../databases.ts';
import { openMedia, type OneMedia } from './one-media.ts';

const VIDEO = JSON.stringify({ duration: 1, audio: [], video: { width: 2 } });
const SOUND = JSON.stringify({ duration: 1, audio: [{}] });
/** As little as there can be; more is wanted where a test says so. */
const { encoding } = loadConfig({ STORYBOARD: 'off', WAVEFORM: 'off', SUBTITLES: 'off' });
/** A picture that can be taken over as it is. */
const COPYABLE = JSON.stringify({
  ...{ duration: 1, container: 'mov', bitrate: 1_000_000, audio: [] },
  video: {
    ...{ codec: 'h264', profile: 'High', pixelFormat: 'yuv420p', interlaced: false, hdr: false, rotation: 0 },
    ...{ width: 640, height: 360, codedWidth: 640, codedHeight: 360, frameRate: 25 },
  },
});
const FAILURE = { code: 'not_decodable', message: 'It is damaged.', permanent: true };

describe.each(DIALECTS)('on %s', (dialect) => {
  let one: OneMedia;
  let db: Db;
  let id: string;
  beforeEach(async () => {
    one = await openMedia(dialect, async (trx, { id: mediaId }) => {
      const stored = { sourceKey: 'media/a/source' };
      const media = await transition(trx, mediaId, 'processing', { attempt: 1 }, stored);
      await advance(trx, media!, encoding);
    });
    ({ db, id } = one);
  });
  afterEach(() => one.close());

  const media = (on?: Db): Promise<MediaRow> => one.row(on);
  const jobs = (): Promise<string[]> => one.jobs();
  const go = (): Promise<void> => transact(db, async (trx) => advance(trx, await media(trx), encoding));
  const probed = (source: string) => db.updateTable('media').set({ source }).where('id', '=', id).execute();
  const jobOf = (task: string) =>
    db.selectFrom('job').selectAll().where('task', '=', task).executeTakeFirstOrThrow();
  const take = async (...tasks: string[]) => (await claim(db, { worker: 'w', tasks, leaseMs: 60_000 }))!;
  const publish = async (kind: OutputKind, wanted = encoding): Promise<void> =>
    transact(db, async (trx) => {
      const details = { state: 'complete' as const, duration: 1, variants: [], audio: [] };
      await publishOutput(trx, {
        ...{
          id: newOutputId(),
          mediaId: id,
          mediaAttempt: 1,
          owner: 'me',
          kind,
          prefix: 'p/',
          bytes: 1,
          details,
        },
      });
      await advance(trx, await media(trx), wanted);
    });
  const failing = async (task: string): Promise<void> => {
    const job = await take(task);
    await transact(db, async (trx) => {
      expect(await fail(trx, job, FAILURE)).toBe('failed');
      await mediaFailed(trx, job, FAILURE, encoding);
    });
  };

  it('probes first, once', async () => {
    await go();
    expect(await jobs()).toEqual(['probe queued']);
  });

  it('then encodes, and takes a poster of a video when its first seconds should be there', async () => {
    await probed(VIDEO);
    const since = Date.now();
    await go();
    await go();
    expect(await jobs()).toEqual(['ladder queued', 'poster queued', 'probe queued']);
    const { delayed, runAt } = await jobOf('poster');
    expect([delayed, runAt >= since + 3_000 && runAt < since + 30_000]).toEqual([1, true]);
  });

  it('takes the poster at once when the whole video is there sooner', async () => {
    await probed(VIDEO);
    await go();
    await publish('ladder');
    expect((await take('poster')).task).toBe('poster');
  });

  it('takes the poster of a picture that can be copied when that plays, or is not used', async () => {
    await probed(COPYABLE);
    await go();
    expect(await jobs()).toEqual(['copy queued', 'probe queued']);
    await failing('copy');
    expect(await jobs()).toEqual(['copy failed', 'ladder queued', 'poster queued', 'probe queued']);
  });

  it('takes no poster of a sound, unless it has a cover', async () => {
    await probed(SOUND);
    await go();
    expect(await jobs()).toEqual(['ladder queued', 'probe queued']);
    await probed(JSON.stringify({ ...(JSON.parse(SOUND) as object), cover: 1 }));
    await go();
    expect(await jobs()).toEqual(['ladder queued', 'poster queued', 'probe queued']);
  });

  it('is playable with the stream, ready with the poster', async () => {
    await probed(VIDEO);
    await publish('ladder');
    expect((await media()).status).toBe('playable');
    await publish('poster');
    expect((await media()).status).toBe('ready');
    expect(await jobs()).toContain('tidy queued');
  });

  it('is ready without a poster when that failed, before or after the stream', async () => {
    await probed(VIDEO);
    await go();
    await db.updateTable('job').set({ delayed: 0 }).where('task', '=', 'poster').execute(); // as its time comes
    await failing('poster');
    expect((await media()).status).toBe('processing');
    await publish('ladder');
    expect((await media()).status).toBe('ready');
  });

  it.each(['queued', 'running'])('is ready without a poster that was cancelled while %s', async (status) => {
    await probed(VIDEO);
    await publish('ladder');
    if (status === 'running') await take('poster');
    const { id: poster } = await jobOf('poster');
    await transact(db, async (trx) => {
      const job = (await cancelJob(trx, poster))!;
      await mediaFailed(trx, job, FAILURE, encoding);
    });
    expect((await media()).status).toBe('ready');
    expect(await jobs()).toContain(status === 'running' ? 'poster running' : 'poster cancelled');
  });

  it('is ready when the poster fails last', async () => {
    await probed(VIDEO);
    await publish('ladder');
    await failing('poster');
    expect((await media()).status).toBe('ready');
  });

  it('makes what is wanted beside the stream, once there is one, and is ready with the last of it', async () => {
    const wanted = loadConfig({ DOWNLOAD_MP4: 'on', DOWNLOAD_M4A: 'on' }).encoding;
    const text = { subtitles: [{ index: 2, isText: true }] };
    await probed(JSON.stringify({ ...(JSON.parse(VIDEO) as object), audio: [{}], ...text }));
    const goOn = () => transact(db, async (trx) => advance(trx, await media(trx), wanted));
    await goOn();
    const early = ['ladder queued', 'poster queued', 'probe queued', 'subtitles queued'];
    expect(await jobs()).toEqual(early);
    await publish('ladder', wanted);
    expect(await jobs()).toEqual([...early, 'm4a queued', 'mp4 queued', 'storyboard queued'].sort());
    for (const kind of ['poster', 'm4a', 'mp4', 'storyboard'] as const) await publish(kind, wanted);
    expect((await media()).status).toBe('playable');
    const nothingToSay = await take('subtitles');
    await transact(db, (trx) => complete(trx, nothingToSay));
    await goOn();
    expect((await media()).status).toBe('ready');
  });

  it('fails with the stream, and stops the rest', async () => {
    await probed(VIDEO);
    await go();
    await failing('ladder');
    expect(await media()).toMatchObject({
      status: 'failed',
      errorCode: 'not_decodable',
      errorMessage: 'It is damaged.',
    });
    expect(await jobs()).toEqual(['ladder failed', 'poster cancelled', 'probe cancelled', 'tidy queued']);
  });

  it('starts again after a retry, with what is there already', async () => {
    await probed(VIDEO);
    await publish('poster');
    await failing('ladder');
    await transact(db, async (trx) => advance(trx, (await reopen(trx, id, 1))!, encoding));
    expect((await jobs()).filter((job) => job.startsWith('ladder') || job.startsWith('poster'))).toEqual([
      'ladder failed',
      'ladder queued',
    ]);
  });

  it('ignores the failure of an earlier attempt', async () => {
    await probed(VIDEO);
    await go();
    const late = await take('ladder');
    await db.updateTable('media').set({ attempt: 2 }).where('id', '=', id).execute();
    await transact(db, (trx) => mediaFailed(trx, late, FAILURE, encoding));
    expect((await media()).status).toBe('processing');
  });

  it('adds nothing for a media that was deleted', async () => {
    await finish(await take('probe'));
    await transact(db, async (trx) => deleteMedia(trx, await media(trx)));
    await probed(VIDEO);
    await go();
    expect(await jobs()).toEqual(['probe succeeded', 'purge queued']);
  });

  const finish = (job: Awaited<ReturnType<typeof take>>) => transact(db, (trx) => complete(trx, job));

  it('cleans the scratch of dead attempts, not of living ones nor of strangers', async () => {
    const config = loadConfig({ DATA_DIR: one.dir });
    const { scratchDir } = config.encoding;
    const job = await take('probe');
    const names = [`${job.id}-1`, `${job.id}-7`, `${newId()}-1`, 'lost+found'];
    for (const name of names) await mkdir(join(scratchDir, name, 'deep'), { recursive: true });
    await cleanScratch({ config, db });
    expect((await readdir(scratchDir)).sort()).toEqual([`${job.id}-1`, 'lost+found'].sort());
    await db.updateTable('job').set({ leaseUntil: 1 }).where('id', '=', job.id).execute();
    await cleanScratch({ config, db });
    expect(await readdir(scratchDir)).toEqual(['lost+found']);
  });

  it('has nothing to clean before the first attempt', async () => {
    await cleanScratch({ config: loadConfig({ DATA_DIR: join(one.dir, 'new') }), db });
  });
});
