/**
 * Damaged media through the pipeline, as many as you like:
 *
 *     npm run test:fuzz              1,000 files
 *     npm run test:fuzz -- 50 7000   50 files, the first with seed 7000
 */
import { fuzz } from './fuzz.ts';

const [count = 1_000, firstSeed = 1] = process.argv.slice(2).map(Number);
const start = Date.now();
const result = await fuzz(count, firstSeed, ({ files, ends, faults }) => {
  if (files % 50 === 0)
    console.log(`${files} of ${count} after ${Math.round((Date.now() - start) / 1000)} s`, ends, faults);
});
const { maxRSS } = process.resourceUsage();
console.log(`${result.files} files damaged by ${result.mutator}, seeds from ${firstSeed}`);
console.table(result.ends);
console.log(`slowest: ${result.slowest.ms} ms, ${result.slowest.file}`);
console.log(`Node's memory at most: ${Math.round(maxRSS / 1024)} MB`);
for (const fault of result.faults) console.error(`FAULT ${fault}`);
process.exitCode = result.faults.length ? 1 : 0;
