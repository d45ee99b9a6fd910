/** A media that Stream encodes from a copy of its source, with everything that can go wrong on the way. */
import { createHash, randomBytes } from 'node:crypto';
import { DIALECTS } from '../databases.ts';
import { eventually } from '../server.ts';
import { openStreamApp, type StreamApp, type StreamOptions } from './harness.ts';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.each(DIALECTS)('copying to Stream on %s', (dialect) => {
  let app: StreamApp;
  const open = async (options: StreamOptions = {}): Promise<StreamApp> =>
    (app = await openStreamApp(dialect, options));
  const reaches = (id: string, status: string) =>
    eventually(async () => {
      const media = await app.media(id);
      return media.status === status && media;
    });
  afterEach(() => app.close());

  it('makes one video of an upload, playable first and then ready', async () => {
    await open();
    const bytes = randomBytes(700_000);
    const id = await app.upload(bytes);
    await reaches(id, 'ready');
    const [video, ...others] = app.standIn.world.live;
    expect(others).toEqual([]);
    expect(video).toMatchObject({ sha256: sha256(bytes), creator: 'me', requireSignedURLs: true });
    expect(await app.attempt(id)).toMatchObject({ state: 'complete', videoId: video!.uid, nextAt: null });
    const statuses = (await app.events(id)).filter(({ type }) => type === 'media.status');
    expect(statuses.map(({ payload }) => payload.status)).toEqual(['processing', 'playable', 'ready']);
  });

  it.each(['badGatewayAfter', 'hangUp', 'badGatewayBefore', 'early'] as const)(
    'makes one video although every POST meets “%s”',
    async (fault) => {
      await open({ world: { faults: { [fault]: 1 }, listLagMs: 400 } });
      const id = await app.upload(randomBytes(5_000));
      if (fault === 'badGatewayBefore') {
        await eventually(async () => (await app.attempt(id)).tries > 0);
        app.standIn.world.faults.badGatewayBefore = 0;
      }
      await reaches(id, 'ready');
      expect(app.standIn.world.live).toHaveLength(1);
    },
  );
});
