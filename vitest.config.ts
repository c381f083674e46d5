import { defineConfig } from 'vitest/config';
import { POSTGRES_SERVERS } from './test/support/postgres-servers.ts';
import { SummaryReporter } from './test/support/summary-reporter.ts';

/**
 * A file's suffix says what it needs, `alone` the machine for itself: those assert how long something takes, because that is
 * what is promised. Sized for two cores: tests with services wait for much of their time, and a stack test is several
 * processes already. Forks, not threads: a native module and process-wide handlers are under test.
 */
const NEEDS_SERVICES = ['test/**/*.redis.test.ts', 'test/**/*.pg.test.ts'];
const NEEDS_PROCESSES = ['test/**/*.stack.test.ts'];
const NEEDS_THE_MACHINE = ['test/**/*.alone.test.ts'];
const globalSetup = ['test/support/global-setup.ts'];
const seed = 'test/support/seed.ts';
const setupFiles = [seed, 'test/support/name-the-file.ts'];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['default', new SummaryReporter()],
    projects: [
      {
        extends: true,
        test: {
          name: 'pure',
          include: ['test/**/*.test.ts'],
          exclude: [...NEEDS_SERVICES, ...NEEDS_PROCESSES, ...NEEDS_THE_MACHINE],
          // Property tests on a machine that does other things too: nothing here asserts a time.
          testTimeout: 30_000,
          setupFiles: [seed],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'services',
          include: NEEDS_SERVICES,
          globalSetup,
          setupFiles,
          maxWorkers: POSTGRES_SERVERS,
          testTimeout: 60_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'stack',
          include: NEEDS_PROCESSES,
          globalSetup,
          setupFiles,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: 'alone',
          include: NEEDS_THE_MACHINE,
          globalSetup,
          setupFiles,
          maxWorkers: 1,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
