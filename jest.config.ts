/** @jest-config-loader esbuild-register */
import type { Config } from 'jest';
import { availableParallelism } from 'node:os';

/** ES modules all the way: run through `npm test`, which sets --experimental-vm-modules. */
const config: Config = {
  testEnvironment: 'node',
  // Signal handlers of the programs that tests start outlive a test file: jest's cleanup makes them recurse without end.
  testEnvironmentOptions: { globalsCleanup: 'off' },
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2023' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  testMatch: ['<rootDir>/{db,server,public,test,bin}/**/*.test.ts'],
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/data'],
  globalSetup: '<rootDir>/test/services/global-setup.ts',
  // It ends what hangs: machines may be slow.
  testTimeout: 300_000,
  // Tests of encoding fill a core each with the programs they start; others wait for clocks, players and servers meanwhile.
  maxWorkers: Math.min(availableParallelism() + 1, 8),
  testSequencer: '<rootDir>/bin/jest-sequencer.mjs',
};

export default config;
