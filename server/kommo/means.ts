import type { Config, KommoConfig } from '../../platform/config.ts';
import { sleep } from '../../platform/backoff.ts';
import type { Log } from '../../platform/log.ts';
import type { Database } from '../../platform/postgres.ts';
import { createSecretBox, type SecretBox } from '../../platform/secret-box.ts';
import { createKommoHttp, type HttpLimits, type KommoHttp } from './http.ts';
import { createLimiter, type KommoLimiter } from './limiter.ts';
import { createRateStore } from './rate-store.ts';
import { createTurn, type Turn } from './turn.ts';

/** What every conversation with Kommo needs; one of a process, for all its connections. */
export type KommoMeans = {
  readonly config: KommoConfig;
  readonly http: KommoHttp;
  readonly limiter: KommoLimiter;
  readonly database: Database;
  readonly box: SecretBox;
  /** Renewals of tokens go one after the other: each holds a database connection while Kommo is asked. */
  readonly renewals: Turn;
  readonly log: Log;
  /** Unix ms. */
  readonly now: () => number;
  /** From 0 to less than 1. */
  readonly random: () => number;
  /** @throws the signal's reason as soon as it is aborted. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<void>;
};

type Options = {
  config: Pick<Config, 'kommo' | 'encryptionKey'>;
  database: Database;
  log: Log;
  limits?: HttpLimits;
};

/** The caller closes it when nobody talks any more, and before the database. */
export function openKommo({
  config,
  database,
  log,
  limits,
}: Options): KommoMeans & { close(): Promise<void> } {
  const http = createKommoHttp(limits);
  const limiter = createLimiter({
    store: createRateStore(database),
    egress: config.kommo.egress,
    requestsPerSecond: config.kommo.requestsPerSecond,
    now: () => http.now(),
    // A timer cuts fractions off: never early.
    sleep: (delayMs, signal) => sleep(Math.ceil(delayMs), signal).catch(() => undefined),
  });
  return {
    config: config.kommo,
    http,
    limiter,
    database,
    box: createSecretBox(config.encryptionKey),
    renewals: createTurn(),
    log,
    now: Date.now,
    random: Math.random,
    sleep,
    close: () => http.close(),
  };
}
