import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import {
  leaveJson,
  type AccountCommit,
  type EncodedChange,
  type FilterValues,
} from '../../domain/change.ts';
import { keyColumns, publishedColumns } from '../../domain/entity.ts';
import type { ClientMessage, ServerMessage } from '../../domain/feed-protocol.ts';
import { FEED_VERSION } from '../../domain/feed-protocol.ts';
import { toLsn, type Lsn } from '../../domain/lsn.ts';
import { mustFindEntity } from '../../domain/registry.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import { createLog } from '../../platform/log.ts';
import { eventually } from '../support/eventually.ts';

export const log = createLog({
  component: 'feed',
  level: process.env['TEST_LOG_LEVEL'] ?? 'silent',
});

export const lsn = (value: number): Lsn => toLsn(BigInt(value));

/** A row as Postgres prints it. */
export type TextRow = Readonly<Record<string, string | null>>;

/** A change as the decoder makes it: the same row writer, the same filter values. */
export function changeOf(
  op: 'insert' | 'update' | 'delete',
  table: string,
  row: TextRow,
  was?: FilterValues | null,
): EncodedChange {
  const entity = mustFindEntity(table);
  const write = (names: readonly string[]): string =>
    compileRowWriter(entity, names)(names.map((name) => row[name] ?? null));
  const keyJson = write(keyColumns(entity));
  if (op === 'delete') {
    const gone: EncodedChange = { table, op, keyJson, json: '', now: null, was: was ?? null };
    return { ...gone, json: leaveJson(gone) };
  }
  const columns = publishedColumns(entity);
  const open = columns.filter((name) => entity.columns[name]?.permission === undefined);
  const head = `{"table":${JSON.stringify(table)},"op":"${op}","key":${keyJson},"row":`;
  const now = Object.fromEntries(entity.feedFilters.map((name) => [name, row[name] ?? null]));
  const change: EncodedChange = {
    table,
    op,
    keyJson,
    json: `${head}${write(columns)}}`,
    now,
    was: was ?? null,
  };
  return open.length === columns.length
    ? change
    : { ...change, restrictedJson: `${head}${write(open)}}` };
}

export const markerOf = (op: 'bulk' | 'truncate', table: string): EncodedChange => ({
  table,
  op,
  json: `{"table":"${table}","op":"${op}","key":{}}`,
  keyJson: '{}',
  now: null,
  was: null,
});

export function commitOf(
  accountId: number,
  at: number,
  changes: readonly EncodedChange[],
  more: Partial<AccountCommit> = {},
): AccountCommit {
  const when = '2026-01-01T00:00:00.000000Z';
  return {
    accountId,
    lsn: lsn(at),
    xid: at,
    at: when,
    origin: undefined,
    changes,
    signals: [],
    ...more,
  };
}

/** A tag with enough of a row to be told apart. */
export const tag = (accountId: number, id: number, name: string): TextRow => ({
  id: String(id),
  account_id: String(accountId),
  name,
  color: '#000000',
  created_at: '2026-01-01 00:00:00+00',
  updated_at: '2026-01-01 00:00:00+00',
});

type Of<T extends ServerMessage['type']> = Extract<ServerMessage, { type: T }>;

/** A client that keeps everything it was sent, in order. */
export class FeedClient {
  readonly messages: ServerMessage[] = [];
  readonly texts: string[] = [];
  readonly socket: WebSocket;
  closed: { code: number; reason: string } | undefined;
  /** HTTP status of a refused upgrade. */
  refused: number | undefined;
  #taken = 0;

  constructor(port: number, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/feed`, { headers });
    this.socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      this.texts.push(text);
      this.messages.push(JSON.parse(text) as ServerMessage);
    });
    this.socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
    this.socket.on('unexpected-response', (request, response) => {
      this.refused = response.statusCode;
      request.destroy();
    });
    this.socket.on('error', () => undefined);
  }

  async opened(): Promise<this> {
    await eventually(() => this.socket.readyState === WebSocket.OPEN, {
      says: 'the socket opens',
      everyMs: 2,
    });
    return this;
  }

  send(message: ClientMessage | string): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  async hello(token: string): Promise<Of<'welcome'>> {
    await this.opened();
    this.send({ type: 'hello', version: FEED_VERSION, token });
    return this.next('welcome');
  }

  async subscribe(
    id: string,
    tables: Extract<ClientMessage, { type: 'subscribe' }>['tables'],
    since?: string,
  ): Promise<Of<'subscribed'>> {
    this.send({ type: 'subscribe', id, tables, ...(since === undefined ? {} : { since }) });
    return this.next('subscribed');
  }

  /** The next message of this type behind the last one taken; others in between are passed over. */
  async next<T extends ServerMessage['type']>(type: T, timeoutMs = 10_000): Promise<Of<T>> {
    return eventually(
      () => {
        const index = this.messages.findIndex(
          (message, at) => at >= this.#taken && message.type === type,
        );
        if (index < 0) {
          const seen = this.messages.slice(this.#taken).map((message) => message.type);
          throw new Error(`seen ${seen.join(' ')}, closed ${JSON.stringify(this.closed)}`);
        }
        this.#taken = index + 1;
        return this.messages[index] as Of<T>;
      },
      { says: `a ${type} comes`, everyMs: 2, timeoutMs },
    );
  }

  all<T extends ServerMessage['type']>(type: T): Of<T>[] {
    return this.messages.filter((message): message is Of<T> => message.type === type);
  }

  async closeCode(timeoutMs = 15_000): Promise<number> {
    const closed = await eventually(() => this.closed, {
      says: 'the socket is closed',
      everyMs: 2,
      timeoutMs,
    });
    return closed.code;
  }

  /** Answered after everything sent before it: what has not come by then will not come because of it. */
  async settled(): Promise<void> {
    this.send({ type: 'ping' });
    await this.next('pong');
  }

  close(): void {
    this.socket.terminate();
  }
}

/** A connection to Redis and names of one's own in it. */
export async function connectRedis(
  url: string,
): Promise<{ redis: Redis; space: { prefix: string } }> {
  const redis = new Redis(url, { lazyConnect: true, commandTimeout: 2_000 });
  redis.on('error', () => undefined);
  await redis.connect();
  return { redis, space: { prefix: `f-${randomUUID().slice(0, 8)}` } };
}
