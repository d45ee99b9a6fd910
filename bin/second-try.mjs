/**
 * What to make of test files that failed among all others. They wait for real servers, encoders and browsers, two files at a
 * time on two cores, so one in two thousand tests may fail by accident. Such files are run once more, by themselves: what
 * passes then is named as unsteady, to be mended, and is no failure; what fails twice is one.
 */

/**
 * @typedef {{ path: string, failed: number }} FailedFile
 * @typedef {{ code: number, passed: number, failed: number, skipped: number, failedFiles: FailedFile[] }} Result
 */

/** More than so many at once are no accident. */
const MOST = 3;

/**
 * The files to run once more; none where nothing failed, or too much.
 *
 * @param {Result} first
 */
export function worthTrying({ failedFiles }) {
  return failedFiles.length > MOST ? [] : failedFiles.map(({ path }) => path);
}

/**
 * The result of both runs, and the files that passed in the second one. A second run that did not get as far as running tests
 * changes nothing.
 *
 * @param {Result} first
 * @param {Result} second of the failed files of the first
 * @returns {{ result: Result, unsteady: string[] }}
 */
export function merged(first, second) {
  if (!second.passed) return { result: first, unsteady: [] };
  const stillFailing = new Set(second.failedFiles.map(({ path }) => path));
  const passed = first.failedFiles.filter(({ path }) => !stillFailing.has(path));
  const saved = passed.reduce((sum, { failed }) => sum + failed, 0);
  return {
    result: {
      ...first,
      code: second.code,
      passed: first.passed + saved,
      failed: first.failed - saved,
      failedFiles: first.failedFiles.filter(({ path }) => stillFailing.has(path)),
    },
    unsteady: passed.map(({ path }) => path),
  };
}
