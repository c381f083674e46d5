import pg from 'pg';
import { ClarinError } from '../../domain/errors.ts';
import type { Log } from '../../platform/log.ts';
import { assertRedisFits, createRedis } from '../../platform/redis.ts';
import { isPortFree } from '../../platform/services/ports.ts';
import { poll } from '../../platform/services/processes.ts';

/**
 * Every process would find these out by itself; dev says them before it starts any, in one sentence
 * each.
 */

const MAJOR_MIN = 15;

/** @throws ClarinError `configuration` for the first port that stays taken for `patienceMs`. */
export async function assertPortsFree(
  host: string,
  ports: Readonly<Record<string, number>>,
  patienceMs: number,
): Promise<void> {
  for (const [variable, port] of Object.entries(ports)) {
    const free = await poll(
      async () => ((await isPortFree(host, port)) ? { value: true } : undefined),
      {
        timeoutMs: patienceMs,
        everyMs: 200,
      },
    );
    if (free) continue;
    throw new ClarinError(
      'configuration',
      `Port ${port} on ${host} is taken: stop what listens there, or set ${variable} to another port.`,
    );
  }
}

/**
 * From Node 22 on its binaries are built for newer systems than many servers have. @throws
 * ClarinError `configuration`.
 */
export async function assertFeedLoads(): Promise<void> {
  try {
    await import('uWebSockets.js');
  } catch (error) {
    const why = /GLIBC_[\d.]+' not found/.exec(String(error))?.[0] ?? 'no binary for this system';
    throw new ClarinError(
      'configuration',
      `uWebSockets.js does not load under Node ${process.versions.node} here (${why}): use Node 20, or a system with glibc 2.38 or newer (Debian 13, Ubuntu 24.04).`,
      { cause: error },
    );
  }
}

type Facts = { wal_level: string; version: string; user: string; replication: boolean };

/**
 * @throws ClarinError `configuration` unless logical replication is possible there, as this user.
 */
export async function assertPostgresFits(url: string, variable: string): Promise<void> {
  const facts = await readFacts(url, variable);
  if (Math.floor(Number(facts.version) / 10_000) < MAJOR_MIN) {
    throw new ClarinError(
      'configuration',
      `The Postgres of ${variable} is too old: Clarin needs ${MAJOR_MIN} or newer.`,
    );
  }
  if (facts.wal_level !== 'logical') {
    throw new ClarinError(
      'configuration',
      `The Postgres of ${variable} has wal_level = ${facts.wal_level}: run \`alter system set wal_level = logical\` there and restart it.`,
    );
  }
  if (!facts.replication) {
    throw new ClarinError(
      'configuration',
      `The role ${facts.user} of ${variable} may not replicate: run \`alter role "${facts.user}" replication\` as a superuser, or name one that may in REPLICATION_DATABASE_URL.`,
    );
  }
}

async function readFacts(url: string, variable: string): Promise<Facts> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // On some managed services membership of a role stands for the attribute.
    const { rows } = await client.query<Facts>(
      `select current_setting('wal_level') as wal_level, current_setting('server_version_num') as version,
         rolname as user, rolreplication or rolsuper or exists (
           select from pg_roles granted where granted.rolname = 'rds_replication' and pg_has_role(granted.oid, 'member')
         ) as replication
       from pg_roles where rolname = current_user`,
    );
    if (rows[0]) return rows[0];
    throw new Error('it does not know its own user');
  } catch (error) {
    throw new ClarinError(
      'configuration',
      `The Postgres of ${variable} does not answer (${reasonOf(error)}): start it or correct ${variable}; without DATABASE_URL a Postgres is started for you.`,
      { cause: error },
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** @throws ClarinError `configuration` unless it answers, is new enough and does not evict. */
export async function assertRedisAt(url: string, log: Log): Promise<void> {
  const redis = createRedis({ url, name: 'clarin-dev', log, commandTimeoutMs: 5_000 });
  try {
    await redis.connect();
    await assertRedisFits(redis);
  } catch (error) {
    if (error instanceof ClarinError) throw error;
    throw new ClarinError(
      'configuration',
      `The Redis of REDIS_URL does not answer (${reasonOf(error)}): start it or correct REDIS_URL; without it a Redis is started for you.`,
      { cause: error },
    );
  } finally {
    redis.disconnect();
  }
}

/** Names that resolve to several addresses fail with several errors and an empty message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  return error instanceof Error && error.message !== '' ? error.message : String(error);
}
