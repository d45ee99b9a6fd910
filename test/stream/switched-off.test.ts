/** Stream was switched off while media still wait for it. */
import { loadConfig } from '../../server/config.ts';
import { openRemoteEncoding } from '../../server/providers/index.ts';
import { DIALECTS } from '../databases.ts';
import { openStreamApp } from './harness.ts';

it.each(DIALECTS)(
  'says at boot that something waits for it, on %s',
  async (dialect) => {
    const app = await openStreamApp(dialect, { started: false });
    try {
      const config = loadConfig({ DATA_DIR: app.ctx.config.dataDir });
      const reopen = () => openRemoteEncoding({ ...app.ctx, config }, () => Promise.resolve());
      const warnings = () => app.log.filter(({ attempts }) => attempts !== undefined);
      expect(await reopen()).toBeUndefined();
      expect(warnings()).toEqual([]);
      await app.upload(Buffer.from('a film'));
      expect(await reopen()).toBeUndefined();
      expect(warnings()).toEqual([expect.objectContaining({ attempts: 1, level: 40 })]);
    } finally {
      await app.close();
    }
  },
  60_000,
);
