/** Without a public address: the upload is sent to Stream by tus. */
import { createHash, randomBytes } from 'node:crypto';
import { eventually } from '../server.ts';
import { openStreamApp, type StreamApp } from './harness.ts';

const MB = 1024 * 1024;

describe('pushing to Stream', () => {
  let app: StreamApp;
  afterEach(() => app.close());
  const open = async (faults = {}) =>
    (app = await openStreamApp('sqlite', {
      env: { STREAM_TRANSFER: 'push', PUBLIC_URL: '', STREAM_WEBHOOK_SECRET: '' },
      world: { faults },
    }));
  /** The job's next try, now instead of after its pause. */
  const hurry = async (): Promise<void> => {
    const { db } = app.ctx;
    await db.updateTable('job').set({ runAt: Date.now() }).where('status', '=', 'queued').execute();
  };
  const ready = (id: string) =>
    eventually(async () => {
      await hurry();
      return (await app.media(id)).status === 'ready';
    });
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

  it('sends a file in chunks that Stream takes, and polls', async () => {
    await open();
    const bytes = randomBytes(20 * MB + 12_345);
    const id = await app.upload(bytes);
    await ready(id);
    const { world } = app.standIn;
    expect(world.live).toHaveLength(1);
    expect(world.live[0]).toMatchObject({ sha256: sha256(bytes), requireSignedURLs: true, creator: 'me' });
    expect(world.calls.filter((call) => call.startsWith('tus PATCH'))).toHaveLength(2);
  });

  it('goes on where it was cut, with one video', async () => {
    await open();
    const bytes = randomBytes(17 * MB);
    const { world } = app.standIn;
    const id = await app.upload(bytes);
    world.faults.hangUp = 0.02;
    await eventually(async () => world.live.length > 0);
    await eventually(async () => {
      await hurry();
      return (
        (await app.attempt(id)).percent >= 0 && world.calls.filter((c) => c.startsWith('tus HEAD')).length > 0
      );
    });
    world.faults.hangUp = 0;
    await ready(id);
    expect(world.live).toHaveLength(1);
    expect(world.live[0]?.sha256).toBe(sha256(bytes));
  });

  it('opens another upload when the answer to the first was lost, and removes that one', async () => {
    await open({ badGatewayAfter: 1 });
    const bytes = randomBytes(10_000);
    const id = await app.upload(bytes);
    const { world } = app.standIn;
    await eventually(async () => world.videos.size > 0);
    world.faults.badGatewayAfter = 0;
    await ready(id);
    await eventually(async () => {
      await hurry();
      return world.live.length === 1;
    });
    expect(world.live[0]?.uid).toBe((await app.attempt(id)).videoId);
    expect(world.live[0]?.sha256).toBe(sha256(bytes));
  });

  it('fails its media when there is no file to send', async () => {
    app = await openStreamApp('sqlite', {
      env: { STREAM_TRANSFER: 'push', PUBLIC_URL: '', STREAM_WEBHOOK_SECRET: '' },
      started: false,
    });
    const id = await app.upload(Buffer.from('x'));
    await app.ctx.storage.delete((await app.media(id)).sourceKey!);
    app.start();
    await eventually(async () => (await app.media(id)).status === 'failed');
    expect(await app.media(id)).toMatchObject({ errorCode: 'source_missing' });
  });
});
