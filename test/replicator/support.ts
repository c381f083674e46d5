import pg from 'pg';
import type { Entity } from '../../domain/entity.ts';
import { mustParseLsn, type Lsn } from '../../domain/lsn.ts';
import { createLog } from '../../platform/log.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { Decoder } from '../../replicator/decode.ts';
import { openStream, type ReplicationStream } from '../../replicator/stream.ts';
import type {
  DecodedTransaction,
  TransactionLimits,
} from '../../replicator/transaction-builder.ts';
import { eventually } from '../support/services.ts';

export const log = createLog({
  component: 'replicator',
  level: process.env['TEST_LOG_LEVEL'] ?? 'silent',
});

/** A connection as the superuser, that ends with the test. */
export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export type Row = Record<string, unknown>;

export async function one(client: pg.Client, text: string, values: unknown[] = []): Promise<Row> {
  const result = await client.query<Row>(text, values);
  const [row] = result.rows;
  if (!row) throw new Error(`no row: ${text}`);
  return row;
}

export async function createSlotBy(client: pg.Client, slot: string): Promise<Lsn> {
  const row = await one(
    client,
    `select lsn::text from pg_create_logical_replication_slot($1, 'pgoutput')`,
    [slot],
  );
  return mustParseLsn(String(row['lsn']));
}

export async function readConfirmed(client: pg.Client, slot: string): Promise<Lsn> {
  const row = await one(
    client,
    'select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return mustParseLsn(String(row['lsn']));
}

export async function currentLsn(client: pg.Client): Promise<Lsn> {
  const row = await one(client, 'select pg_current_wal_insert_lsn()::text as lsn');
  return mustParseLsn(String(row['lsn']));
}

export type Tail = {
  readonly transactions: DecodedTransaction[];
  readonly keepalives: Lsn[];
  readonly stream: ReplicationStream;
  readonly metrics: Metrics;
  /** What may be told to Postgres. */
  confirm(lsn: Lsn): void;
  /** The transaction that `find` accepts, once it has come. */
  find(find: (transaction: DecodedTransaction) => boolean): Promise<DecodedTransaction>;
  /** Everything up to now has come: a marker is written and awaited. Answers what came before it. */
  settle(client: pg.Client): Promise<DecodedTransaction[]>;
};

type TailOptions = {
  url: string;
  slot: string;
  publication?: string;
  entities?: readonly Entity[];
  limits?: TransactionLimits;
  statusIntervalMs?: number;
  keep?: boolean;
};

/** Stream and decoder of one attempt, without what comes behind them. Acknowledges only what it is told to. */
export function tail(options: TailOptions): Tail {
  const metrics = createMetrics('test');
  const decoder = new Decoder({
    metrics,
    ...(options.entities ? { entities: options.entities } : {}),
    ...(options.limits ? { limits: options.limits } : {}),
  });
  const transactions: DecodedTransaction[] = [];
  const keepalives: Lsn[] = [];
  let confirmed = 0n as Lsn;
  const stream = openStream({
    url: options.url,
    slot: options.slot,
    publication: options.publication ?? 'clarin',
    statusIntervalMs: options.statusIntervalMs ?? 500,
    confirmed: () => confirmed,
    onFrame: (frame) => {
      const transaction = decoder.push(frame);
      if (transaction) transactions.push(transaction);
    },
    onKeepalive: (lsn) => keepalives.push(lsn),
    log,
  });
  // A stream that ends fails the test at once, with the reason.
  const ended = stream.ended.then(() => Promise.reject(new Error('the stream was stopped')));
  ended.catch(() => undefined);
  const unlessEnded = <T>(waiting: Promise<T>): Promise<T> => Promise.race([waiting, ended]);
  return {
    transactions,
    keepalives,
    stream,
    metrics,
    confirm: (lsn) => {
      confirmed = lsn;
      stream.sendStatus();
    },
    find: (find) =>
      unlessEnded(
        eventually(() => transactions.find(find), {
          says: 'the transaction is decoded',
          timeoutMs: 30_000,
        }),
      ),
    settle: async (client) => {
      const sequence = ++markers;
      const text = JSON.stringify({ token: 'test', term: 0, sequence, redis_ms: 0, sent_ms: 0 });
      await client.query(`select pg_logical_emit_message(true, 'clarin.heartbeat', $1)`, [text]);
      const index = await unlessEnded(
        eventually(
          () => {
            const found = transactions.findIndex((one) => one.heartbeat?.sequence === sequence);
            return found < 0 ? undefined : found + 1;
          },
          { says: 'the marker is decoded', timeoutMs: 60_000 },
        ),
      );
      return transactions.splice(0, index).slice(0, -1);
    },
  };
}

let markers = 0;

/** Parsed changes of one account in a transaction, in order. */
export function changesOf(transaction: DecodedTransaction | undefined, accountId: number): Row[] {
  const commit = transaction?.commits.find((one) => one.accountId === accountId);
  return (commit?.changes ?? []).map((change) => JSON.parse(change.json) as Row);
}
