/**
 * A jest reporter that writes how many tests passed, failed and were skipped, and in which files some failed, to the file JEST_COUNTS.
 * (jest's own --json gives up when a test failed with an error that refers to itself, as those of HTTP clients do.)
 */
import { writeFileSync } from 'node:fs';

export default class Counts {
  /**
   * @param {unknown} _contexts
   * @param {import('@jest/reporters').AggregatedResult} results
   */
  onRunComplete(_contexts, results) {
    const counts = {
      passed: results.numPassedTests,
      // A test file that could not even be loaded is a failure, though it has no tests to fail.
      failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
      skipped: results.numPendingTests + results.numTodoTests,
      failedFiles: results.testResults
        .filter(({ numFailingTests, testExecError }) => numFailingTests || testExecError)
        .map(({ testFilePath, numFailingTests }) => ({ path: testFilePath, failed: numFailingTests || 1 })),
    };
    if (process.env.JEST_COUNTS) writeFileSync(process.env.JEST_COUNTS, JSON.stringify(counts));
  }
}
