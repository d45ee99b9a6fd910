/** `npm run test:stream -- [UPLOADS]`: 500 uploads unless told otherwise. TEST_SEED replays a run. Exits 1 when something is wrong. */
import { seededRandom } from '../uploads/random.ts';
import { runChaos } from './chaos.ts';

const report = await runChaos(Number(process.argv[2] ?? 500), seededRandom('stream'));
const { wrong, ...figures } = report;
console.log(JSON.stringify(figures));
for (const line of wrong) console.log(`WRONG ${line}`);
console.log(wrong.length ? '0 passed, 1 failed' : '1 passed, 0 failed');
process.exit(wrong.length ? 1 : 0);
