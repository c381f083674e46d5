import {
  MESSAGE_HEARTBEAT,
  MESSAGE_ORIGIN,
  MESSAGE_SIGNAL,
  MESSAGE_WAS,
  type FilterValues,
} from '../domain/change.ts';
import type { Entity } from '../domain/entity.ts';
import { ClarinError } from '../domain/errors.ts';
import { toLsn } from '../domain/lsn.ts';
import { ENTITIES } from '../domain/registry.ts';
import type { Metrics } from '../platform/metrics.ts';
import {
  parseHeartbeat,
  parseOrigin,
  parseSignal,
  parseWas,
  type WasMessage,
} from './logical-message.ts';
import { readMessage, type LogicalMessage, type PgOutputMessage, type Tuple } from './pgoutput.ts';
import { compileRelation, type Relation } from './relation.ts';
import {
  TRANSACTION_LIMITS,
  TransactionBuilder,
  type DecodedTransaction,
  type TransactionLimits,
} from './transaction-builder.ts';

/** Rows announced by a trigger whose change has not come yet: it comes next, so this is never near. */
const PENDING_WAS_MAX = 1_000;

type Options = {
  readonly metrics: Metrics;
  readonly entities?: readonly Entity[];
  readonly limits?: TransactionLimits;
};

/**
 * Turns the frames of one replication stream into whole transactions. A new one for every attempt: Postgres sends each
 * table's Relation anew. Protocol 1 never interleaves transactions and shows none that was rolled back, savepoints
 * included. https://www.postgresql.org/docs/current/protocol-logical-replication.html
 */
export class Decoder {
  readonly #metrics: Metrics;
  readonly #entities: readonly Entity[];
  readonly #limits: TransactionLimits;
  readonly #relations = new Map<number, Relation>();
  #open: TransactionBuilder | undefined;
  #committedAt = '';
  #was = new Map<string, WasMessage>();

  constructor({ metrics, entities = ENTITIES, limits = TRANSACTION_LIMITS }: Options) {
    this.#metrics = metrics;
    this.#entities = entities;
    this.#limits = limits;
  }

  /** A keepalive's position means nothing while a transaction is open. */
  get isInTransaction(): boolean {
    return this.#open !== undefined;
  }

  /**
   * Takes the next frame, which may be reused afterwards. Answers the transaction it completes.
   * @throws ClarinError: `replication_drift` when a table no longer fits its declaration, `internal` when the frame cannot
   * be read. The decoder is of no use after that.
   */
  push(frame: Buffer): DecodedTransaction | undefined {
    const message = readMessage(frame);
    switch (message.type) {
      case 'begin':
        if (this.#open) throw new ClarinError('internal', 'a transaction began inside another');
        this.#open = new TransactionBuilder(message.xid, this.#limits);
        this.#committedAt = formatMicros(message.committedAtMicros);
        return undefined;
      case 'commit':
        return this.#commit(message);
      case 'relation':
        this.#relations.set(message.oid, compileRelation(message, this.#entities));
        return undefined;
      case 'type':
      case 'origin':
        return undefined;
      case 'insert':
        this.#count('insert', 1);
        this.#row('insert', this.#relation(message.oid), message.row);
        return undefined;
      case 'update':
        this.#update(message);
        return undefined;
      case 'delete':
        this.#count('delete', 1);
        this.#delete(this.#relation(message.oid), message.old);
        return undefined;
      case 'truncate':
        this.#truncate(message.oids);
        return undefined;
      case 'message':
        return this.#message(message);
      default:
        return message satisfies never;
    }
  }

  #commit({ commitStart, commitEnd }: PgOutputMessage & { type: 'commit' }): DecodedTransaction {
    const builder = this.#builder();
    this.#open = undefined;
    this.#was = new Map();
    this.#metrics.transactions.inc();
    this.#metrics.bulkMarkers.inc(builder.bulkCount);
    return builder.finish({ lsn: commitStart, endLsn: commitEnd, at: this.#committedAt });
  }

  #builder(): TransactionBuilder {
    if (!this.#open) throw new ClarinError('internal', 'a change came outside of a transaction');
    return this.#open;
  }

  #relation(oid: number): Relation {
    const relation = this.#relations.get(oid);
    if (!relation) throw new ClarinError('internal', `rows of an unknown table came (oid ${oid})`);
    return relation;
  }

  #count(op: string, changes: number): void {
    this.#builder().count(changes);
    this.#metrics.changes.inc({ op }, changes);
  }

  #row(op: 'insert' | 'update', relation: Relation, row: Tuple): void {
    const was = op === 'update' ? this.#takeWas(relation, row) : undefined;
    const accountId = relation.accountOf(row);
    if (accountId === undefined) return;
    const builder = this.#builder();
    if (builder.isBulk(accountId, relation.entity.table)) return;
    builder.add(accountId, relation.encodeRow(op, row, was));
  }

  /** Postgres sends the old key only when the key changed: the row then leaves one place and enters another. */
  #update({ oid, old, row }: PgOutputMessage & { type: 'update' }): void {
    this.#count('update', 1);
    const relation = this.#relation(oid);
    if (old === undefined || !relation.isMoved(old, row)) {
      this.#row('update', relation, row);
      return;
    }
    this.#delete(relation, old);
    this.#row('insert', relation, row);
  }

  #delete(relation: Relation, old: Tuple): void {
    const was = this.#takeWas(relation, old);
    const accountId = relation.accountOf(old);
    if (accountId === undefined) return;
    const builder = this.#builder();
    if (builder.isBulk(accountId, relation.entity.table)) return;
    builder.add(accountId, relation.encodeDelete(old, was));
  }

  #truncate(oids: readonly number[]): void {
    for (const oid of oids) {
      const { entity } = this.#relation(oid);
      this.#count('truncate', 1);
      if (entity.scope !== 'global') this.#builder().truncate(entity.table);
    }
  }

  #takeWas(relation: Relation, row: Tuple): FilterValues | undefined {
    if (this.#was.size === 0) return undefined;
    const key = `${relation.entity.table} ${relation.idOf(row)}`;
    const was = this.#was.get(key);
    if (was !== undefined) this.#was.delete(key);
    return was?.values;
  }

  #message(message: LogicalMessage): DecodedTransaction | undefined {
    if (!this.#open) return this.#lonelyMessage(message);
    if (!this.#read(message, this.#open))
      this.#metrics.messagesIgnored.inc({ prefix: label(message.prefix) });
    return undefined;
  }

  /**
   * A message outside of a transaction is in the WAL at once and has nothing to wait for. It says where it begins and
   * not where it ends; one byte further is still inside of it, and no commit fits in between.
   */
  #lonelyMessage(message: LogicalMessage): DecodedTransaction | undefined {
    const builder = new TransactionBuilder(0, this.#limits);
    if (message.prefix !== MESSAGE_SIGNAL || !this.#read(message, builder)) {
      this.#metrics.messagesIgnored.inc({ prefix: label(message.prefix) });
      return undefined;
    }
    const { lsn } = message;
    return builder.finish({ lsn, endLsn: toLsn(lsn + 1n), at: formatMicros(0n) });
  }

  /** False for what is not ours or does not fit. */
  #read({ prefix, content }: LogicalMessage, builder: TransactionBuilder): boolean {
    switch (prefix) {
      case MESSAGE_WAS: {
        const was = parseWas(content);
        if (!was) return false;
        if (builder.isBulk(was.accountId, was.table)) return true;
        this.#was.set(`${was.table} ${was.id}`, was);
        // Announcements without a change: the audiences those rows leave are told to refetch instead.
        if (this.#was.size > PENDING_WAS_MAX) {
          for (const { accountId, table } of this.#was.values()) builder.makeBulk(accountId, table);
          this.#was.clear();
        }
        return true;
      }
      case MESSAGE_ORIGIN: {
        const origin = parseOrigin(content);
        if (origin !== undefined) builder.origin(origin);
        return origin !== undefined;
      }
      case MESSAGE_SIGNAL: {
        const signal = parseSignal(content);
        return signal !== undefined && builder.signal(signal);
      }
      case MESSAGE_HEARTBEAT: {
        const heartbeat = parseHeartbeat(content);
        if (heartbeat) builder.heartbeat(heartbeat);
        return heartbeat !== undefined;
      }
      default:
        return false;
    }
  }
}

/** Prefixes are anybody's to choose: metrics only know ours. */
function label(prefix: string): string {
  const known = [MESSAGE_WAS, MESSAGE_ORIGIN, MESSAGE_SIGNAL, MESSAGE_HEARTBEAT];
  return known.includes(prefix) ? prefix : 'other';
}

/** 2000-01-01 in ms since 1970, where Postgres' clock starts. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** Microseconds since 2000-01-01 as RFC 3339 UTC: `2026-11-22T10:00:00.000001Z`. */
function formatMicros(micros: bigint): string {
  const rest = ((micros % 1_000n) + 1_000n) % 1_000n;
  const ms = (micros - rest) / 1_000n;
  const text = new Date(Number(ms) + POSTGRES_EPOCH_MS).toISOString();
  return `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}
