import { setTimeout as wait } from 'node:timers/promises';
import { createLog } from '../../platform/log.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import type { Clock } from '../../server/ingest/clock.ts';
import { KommoWorker } from '../../server/ingest/kommo/worker.ts';
import { Leases, type LeaseTiming } from '../../server/ingest/leases.ts';
import type { KommoMeans } from '../../server/kommo/means.ts';
import type { WorkerWorld } from './kommo-worker-world.ts';

/** Ten seconds of the worker are one of ours. */
const SPEED = 10;

/** Time goes on by itself, faster. Nothing of it reaches the database or the fake. */
const fastClock: Clock = {
  now: Date.now,
  elapsed: () => performance.now() * SPEED,
  sleep: async (ms, signal) => {
    await wait(ms / SPEED, undefined, { signal }).catch(() => signal.throwIfAborted());
  },
  random: () => 0.5,
};

/** Of the worker's clock, but for the time to live, which is the database's. */
const TIMING: LeaseTiming = { beatMs: 2_000, ttlMs: 5_000, stopAfterMs: 30_000 };

export type WorkerProcess = {
  /** How its requests are known: as their address. */
  readonly name: string;
  readonly metrics: Metrics;
  /** Connections it is at. */
  at(): string[];
  stop(): Promise<void>;
  /** It is no more: it says nothing, asks nothing and writes nothing from now on, and gave nothing back. */
  kill(): void;
};

let names = 0;

/** Ends no wait once it is held, and does not go on: what happens then, happens because of something else. */
export type HeldClock = Clock & {
  hold(): void;
  /** Waits under way. */
  waiting(): number;
};

export function createHeldClock(): HeldClock {
  let heldAtMs: number | undefined;
  let waiting = 0;
  const elapsed = (): number => heldAtMs ?? fastClock.elapsed();
  return {
    ...fastClock,
    elapsed,
    sleep: async (ms, signal) => {
      waiting += 1;
      try {
        await fastClock.sleep(ms, signal);
        if (heldAtMs !== undefined) await wait(2 ** 31 - 1, undefined, { signal });
      } finally {
        waiting -= 1;
      }
    },
    hold: () => void (heldAtMs ??= elapsed()),
    waiting: () => waiting,
  };
}

/**
 * A worker as a process has it, but for the process. The caller stops it, also when it was killed. `clock`: of its work,
 * not of its leases.
 */
export function startWorker(
  world: WorkerWorld,
  { timing = TIMING, clock = fastClock }: { timing?: LeaseTiming; clock?: Clock } = {},
): WorkerProcess {
  const name = `10.0.0.${++names}`;
  const log = createLog({ component: 'ingest', level: process.env['TEST_LOG'] ?? 'silent' });
  const metrics = createMetrics('test');
  let isDead = false;
  const mortal = <T>(work: () => Promise<T>): Promise<T> =>
    isDead ? Promise.reject(new Error('killed')) : work();
  const databaseOf = (max: number): Database => {
    const database = createDatabase({
      url: world.ingestUrl,
      applicationName: `test worker ${name}`,
      max,
      statementTimeoutMs: 5_000,
      log,
    });
    return {
      ...database,
      query: (...given) => mortal(() => database.query(...given)),
      transaction: (...given) => mortal(() => database.transaction(...given)),
    };
  };
  const database = databaseOf(10);
  const leasing = databaseOf(2);
  const { means } = world.talker({ config: { requestsPerSecond: 1_000 }, means: { database } });
  const { http } = means;
  const kommoMeans: KommoMeans = {
    ...means,
    http: {
      ...http,
      send: (request) =>
        mortal(() =>
          http.send({ ...request, headers: { ...request.headers, 'x-forwarded-for': name } }),
        ),
    },
  };
  const kommo = new KommoWorker({
    databaseUrl: world.ingestUrl,
    database,
    kommo: kommoMeans,
    clock,
    log,
    metrics,
  });
  const leases = new Leases({ database: leasing, log, clock: fastClock, timing }, [
    kommo.kind,
  ]).start();
  kommo.start(() => leases.wake());
  let stopped: Promise<void> | undefined;
  return {
    name,
    metrics,
    at: () => leases.holds('kommo').map(({ resource }) => resource),
    kill: () => {
      isDead = true;
    },
    stop: () =>
      (stopped ??= (async () => {
        await leases.stop();
        await kommo.stop();
        await Promise.all([leasing.close(), database.close()]);
      })()),
  };
}
