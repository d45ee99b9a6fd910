/**
 * The order of the test files: the longest first, so that no worker is left with one of them alone at the end. The rest in
 * jest's own order (by their last duration where jest remembers it, else by size).
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ROOT } from './bootstrap.mjs';

/** @type {typeof import('@jest/test-sequencer').default} */
const Sequencer = createRequire(import.meta.url)('@jest/test-sequencer').default;

/** Files of half a minute and more on two cores, roughly in that order. */
export const LONGEST = [
  'test/system/early-encode.test.ts',
  'test/system/lifecycle.test.ts',
  'test/browser/growing.test.ts',
  'test/system/growing.test.ts',
  'test/pipeline/sources.test.ts',
  'test/browser/upload.test.ts',
  'test/system/early.test.ts',
  'test/browser/withdrawn.test.ts',
  'test/pipeline/copy.test.ts',
  'test/system/process-bomb.test.ts',
  'test/chaos/chaos.test.ts',
  'test/property/interleavings.test.ts',
  'test/stream/chaos.test.ts',
].map((file) => join(ROOT, file));

export default class LongestFirst extends Sequencer {
  /** @override @param {import('@jest/test-result').Test[]} tests */
  async sort(tests) {
    const gone = LONGEST.filter((file) => !existsSync(file));
    if (gone.length)
      throw new Error(`No test is at ${gone.join(', ')}: mend the list in bin/jest-sequencer.mjs`);
    /** @param {import('@jest/test-result').Test} test */
    const place = ({ path }) => (LONGEST.includes(path) ? LONGEST.indexOf(path) : LONGEST.length);
    return (await super.sort(tests)).sort((a, b) => place(a) - place(b));
  }
}
