import pg from 'pg';
import { LSN_MAX, LSN_ZERO, mustParseLsn, type Lsn } from '../domain/lsn.ts';
import { MESSAGE_ORIGIN } from '../domain/change.ts';
import { ClarinError } from '../domain/errors.ts';
import type { Log } from './log.ts';
import { compile, sql, type Sql } from './sql.ts';
import { sqlStateOf, translateError } from './sqlstate.ts';

/** Values as Postgres printed them. Nothing is parsed: row-json.ts turns text into JSON, once, for REST and feed. */
export type TextRow = Record<string, string | null>;

/**
 * Session settings that decide how values print, and limits. Sent at start-up, they win over ALTER DATABASE and
 * ALTER ROLE. The walsender gets the same, so that a row is the same text in a query and in the log.
 * https://www.postgresql.org/docs/current/runtime-config-client.html
 */
export const TEXT_SETTINGS: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  DateStyle: 'ISO,YMD',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  lc_monetary: 'C',
  xmloption: 'content',
  search_path: 'public',
};

/** `-c a=b -c c=d`, for the `options` start-up parameter. */
export function startupOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll('\\', '\\\\').replaceAll(' ', '\\ ')}`)
    .join(' ');
}

const TEXT_TYPES = { getTypeParser: () => (value: unknown) => value };

export type Queries = {
  /** One statement, all values text. `signal` cancels it on the server. @throws ClarinError. */
  query(statement: Sql, options?: { signal?: AbortSignal | undefined }): Promise<TextRow[]>;
};

export type Origin = {
  request_id?: string;
  operation_id?: string;
  actor_id?: number;
  source: 'api' | 'kommo' | 'whatsapp' | 'import' | 'system';
};

export type Database = Queries & {
  /**
   * One transaction on one connection; rolled back when `work` throws. `origin` goes into the WAL with it and comes
   * back in the feed. `commitLsn` is at or behind the end of the commit record, the largest there is when the connection
   * broke right after the commit; who needs none saves asking for it with `wantsLsn: false`. Nothing cancels a commit
   * under way. @throws ClarinError: nothing was written then, unless the connection broke in the commit itself.
   */
  transaction<T>(
    work: (tx: Queries) => Promise<T>,
    options?: {
      origin?: Origin;
      signal?: AbortSignal | undefined;
      readOnly?: boolean;
      wantsLsn?: boolean;
    },
  ): Promise<{ value: T; commitLsn: Lsn }>;
  stats(): { total: number; idle: number; waiting: number };
  close(): Promise<void>;
};

type Options = {
  url: string;
  applicationName: string;
  max: number;
  statementTimeoutMs: number;
  log: Log;
};

/** A bounded pool. Waiting for a connection is bounded by the statement timeout too. */
export function createDatabase(options: Options): Database {
  const pool = createPool(options);
  const withClient = async <T>(
    signal: AbortSignal | undefined,
    work: (client: pg.PoolClient, hold: { shield: () => void; spoil: () => void }) => Promise<T>,
  ): Promise<T> => {
    signal?.throwIfAborted();
    const client = await pool.connect().catch((error: unknown) => {
      throw translateError(error);
    });
    if (signal?.aborted) {
      // Nobody waits for the answer any more, and the connection is as good as it was.
      client.release();
      signal.throwIfAborted();
    }
    const cancel = (): void => void cancelBackend(options.url, client);
    signal?.addEventListener('abort', cancel, { once: true });
    const shield = (): void => signal?.removeEventListener('abort', cancel);
    let isSpoilt = false;
    const spoil = (): void => void (isSpoilt = true);
    try {
      return await work(client, { shield, spoil });
    } catch (error) {
      if (isBroken(error)) spoil();
      throw translateError(error);
    } finally {
      shield();
      // A cancellation under way could hit the statement of whoever gets the connection next: it is thrown away.
      client.release(isSpoilt || signal?.aborted === true);
    }
  };

  return {
    query: (statement, { signal } = {}) =>
      withClient(signal, (client, { spoil }) =>
        statement.isPrepared ? runPrepared(client, statement, spoil) : run(client, statement),
      ),
    transaction: (work, { origin, signal, readOnly, wantsLsn = !readOnly } = {}) =>
      withClient(signal, async (client, { shield, spoil }) => {
        await client.query(readOnly ? 'begin isolation level repeatable read read only' : 'begin');
        try {
          if (origin) await run(client, sql`select ${announcementOf(origin)}`);
          const value = await work({
            query: async (statement) => {
              // A cancellation that came between two statements found nothing to cancel.
              signal?.throwIfAborted();
              return run(client, statement);
            },
          });
          signal?.throwIfAborted();
          // From here on the caller hears what became of it, also when he no longer waits.
          shield();
          await client.query('commit');
          return { value, commitLsn: wantsLsn ? await readInsertLsn(client) : LSN_ZERO };
        } catch (error) {
          await client.query('rollback').catch(spoil);
          throw error;
        }
      }),
    stats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
    close: () => pool.end(),
  };
}

/**
 * What a statement selects that tells where its transaction comes from: once for whoever watches the log, once for the
 * triggers that write down who changed what. `transaction` does so with `origin`.
 */
export function announcementOf(origin: Origin): Sql {
  const json = JSON.stringify(origin);
  return sql`
    pg_logical_emit_message(true, ${MESSAGE_ORIGIN}, ${json}), set_config('clarin.origin', ${json}, true)`;
}

/** Any commit of this session so far ends at or before the WAL's insert position. */
async function readInsertLsn(client: pg.PoolClient): Promise<Lsn> {
  try {
    const [row] = await run(client, sql`select pg_current_wal_insert_lsn() as lsn`);
    return mustParseLsn(row?.['lsn'] ?? '');
  } catch {
    // The commit stands, so this must not fail: a read that names this LSN is answered from Postgres.
    return LSN_MAX;
  }
}

async function run(client: pg.PoolClient | pg.Client, statement: Sql): Promise<TextRow[]> {
  const { text, values } = compile(statement);
  const result = await client.query<TextRow>({ text, values });
  return result.rows;
}

function createPool(options: Options): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.max,
    connectionTimeoutMillis: options.statementTimeoutMs,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    // The server's own limit comes first; this one is for a server that no longer answers.
    query_timeout: options.statementTimeoutMs + 2_000,
    types: TEXT_TYPES,
    options: startupOptions({
      ...TEXT_SETTINGS,
      statement_timeout: String(options.statementTimeoutMs),
      lock_timeout: String(options.statementTimeoutMs),
      idle_in_transaction_session_timeout: String(options.statementTimeoutMs * 2),
      // Many short statements at once: starting workers for one of them takes longer than it would save.
      max_parallel_workers_per_gather: '0',
    }),
  });
  // An idle connection that breaks (a restart of Postgres) is only noted: the pool replaces it.
  pool.on('error', (error) => options.log.warn({ error }, 'idle database connection lost'));
  // The pool listens to idle connections only. One that breaks while it is in use rejects its statement and emits
  // 'error' besides, which without a listener would end the process.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** Names of prepared statements by their texts, for every connection of this process. */
const names = new Map<string, string>();

/** Outside of transactions: only there can it be tried again when a migration has changed the types of its columns. */
async function runPrepared(
  client: pg.PoolClient,
  statement: Sql,
  spoil: () => void,
): Promise<TextRow[]> {
  const { text, values } = compile(statement);
  const name = names.get(text) ?? `clarin_${names.size + 1}`;
  names.set(text, name);
  try {
    return (await client.query<TextRow>({ name, text, values })).rows;
  } catch (error) {
    // "cached plan must not change result type", until the connection ends.
    if (sqlStateOf(error) !== '0A000') throw error;
    spoil();
    return run(client, statement);
  }
}

/**
 * A connection is thrown away when its state is unknown: timeouts of the driver and broken sockets. A refusal of a
 * command's own says nothing of the connection, unless it was made of such an error.
 */
function isBroken(error: unknown): boolean {
  if (error instanceof ClarinError) return error.cause !== undefined && isBroken(error.cause);
  if (!(error instanceof Error) || !('severity' in error)) return true;
  return /timeout|terminat|ECONN|EPIPE|closed|not queryable/i.test(error.message);
}

/** Cancels what a connection runs, from another one, as libpq does. Best effort: the statement timeout is behind it. */
async function cancelBackend(url: string, client: pg.PoolClient): Promise<void> {
  const pid = (client as unknown as { processID?: number }).processID;
  if (pid === undefined) return;
  const canceller = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 1_000,
    query_timeout: 1_000,
  });
  canceller.on('error', () => undefined);
  try {
    await canceller.connect();
    await canceller.query('select pg_cancel_backend($1)', [pid]);
  } catch {
    // The statement timeout ends it.
  } finally {
    await canceller.end().catch(() => undefined);
  }
}

/**
 * One connection of one's own with the same text rules: for locks held by a session, DDL and the visibility gate.
 * The caller ends it.
 */
export async function connectClient(options: {
  url: string;
  applicationName: string;
  settings?: Readonly<Record<string, string>>;
}): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    types: TEXT_TYPES,
    options: startupOptions({ ...TEXT_SETTINGS, ...options.settings }),
  });
  // Without a listener a broken idle connection would end the process; whoever uses it next sees the error.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A statement on a connection of one's own. */
export function queryClient(client: pg.Client, statement: Sql): Promise<TextRow[]> {
  return run(client, statement);
}
