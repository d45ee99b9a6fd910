/** A few of what `npm run test:fuzz` does a thousand times. TEST_SEED picks others. */
import { fuzz } from './fuzz.ts';

it('ends every damaged file with a clear code, and leaves nothing', async () => {
  const seed = Number(process.env['TEST_SEED'] ?? 1);
  const { files, faults } = await fuzz(14, seed);
  expect({ seed, files, faults }).toEqual({ seed, files: 14, faults: [] });
});
