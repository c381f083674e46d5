import { Redis } from 'ioredis';
import { join } from 'node:path';
import pg from 'pg';
import { findFreePort } from '../../platform/services/ports.ts';
import { openPostgres, openRedis, type Ground } from '../support/servers.ts';
import type { SoakWorld, SqlRow } from './faults/fault.ts';
import { openLink } from './faults/link.ts';
import { supervise, type Supervised } from './supervisor.ts';

const SECRET = 'soak-'.repeat(8);

/** The world as its owner has it: faults see less of it. */
export type OwnWorld = SoakWorld & {
  readonly processes: readonly Supervised[];
  readonly secret: string;
  /** For several statements on one connection. */
  readonly pool: pg.Pool;
  close(): Promise<void>;
};

export type WorldOptions = {
  readonly ground: Ground;
  readonly replicators: number;
  readonly log: (says: string) => void;
};

const PORTS = { api: 'API_PORT', replicator: 'FEED_PORT', gateway: 'GATEWAY_PORT' } as const;

/** Postgres, Redis, two APIs, replicators and two gateways, each behind links of its own. The caller closes it. */
export async function openWorld(options: WorldOptions): Promise<OwnWorld> {
  const { ground, log } = options;
  const postgres = await openPostgres(ground);
  const redis = await openRedis(ground);
  const database = await postgres.createDatabase();
  const pool = new pg.Pool({ connectionString: database.ownerUrl, max: 24 });
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  const sql: SoakWorld['sql'] = async (text, values = []) =>
    (await pool.query<SqlRow>(text, [...values])).rows;
  const ask = new Redis(redis.url, {
    maxRetriesPerRequest: 0,
    retryStrategy: () => 100,
    commandTimeout: 5_000,
  });
  ask.on('error', () => undefined);
  const environment: Record<string, string> = {
    DATABASE_URL: database.url,
    REPLICATION_DATABASE_URL: database.replicationUrl,
    MIGRATE_DATABASE_URL: database.ownerUrl,
    REDIS_URL: redis.url,
    CLARIN_SECRET: SECRET,
    CLARIN_ENCRYPTION_KEY: '5e'.repeat(32),
    COOKIE_SECURE: 'false',
    MEDIA_DIR: join(ground.directory, 'media'),
    LOG_LEVEL: 'info',
    RATE_LIMIT_PER_MINUTE: '10000000',
  };
  const roles = [
    ...Array<'replicator'>(options.replicators).fill('replicator'),
    ...(['api', 'api', 'gateway', 'gateway'] as const),
  ];
  const counts = new Map<string, number>();
  const processes: Supervised[] = [];
  for (const role of roles) {
    const number = (counts.get(role) ?? 0) + 1;
    counts.set(role, number);
    const links = { postgres: await openLink(postgres.port), redis: await openLink(redis.port) };
    const own = {
      ...environment,
      DATABASE_URL: links.postgres.urlOf(database.url),
      REPLICATION_DATABASE_URL: links.postgres.urlOf(database.replicationUrl),
      REDIS_URL: links.redis.urlOf(redis.url),
      [PORTS[role]]: String(await findFreePort()),
    };
    const name = `${role} ${number}`;
    processes.push(await supervise({ role, name, environment: own, links, onEnd: log }));
  }
  return {
    postgres,
    database,
    redis,
    processes,
    environment,
    secret: SECRET,
    pool,
    sql,
    session: async () => {
      const client = new pg.Client({ connectionString: database.ownerUrl });
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    redisCommand: (command, ...args) => ask.call(command, ...args),
    log,
    close: async () => {
      await Promise.all(processes.map((process) => process.stop()));
      for (const { links } of processes) {
        await links.postgres.close();
        await links.redis.close();
      }
      ask.disconnect();
      await pool.end();
      await redis.stop();
      await postgres.remove();
    },
  };
}
