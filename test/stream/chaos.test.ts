/** A short round of `npm run test:stream`. */
import { seededRandom } from '../uploads/random.ts';
import { runChaos } from './chaos.ts';

it('every upload ends in the truth with one video, through faults and kills', async () => {
  const report = await runChaos(30, seededRandom('stream'));
  expect(report.wrong).toEqual([]);
  expect(report).toMatchObject({ uploads: 30, live: 30 });
  expect(report.ready + report.failed).toBe(30);
});
