/** Jest's globalSetup: workers inherit the run's folder through the environment. */
export { startRun as default } from './run.ts';
