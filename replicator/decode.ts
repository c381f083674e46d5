import {
  MESSAGE_HEARTBEAT,
  MESSAGE_ORIGIN,
  MESSAGE_SIGNAL,
  MESSAGE_WAS,
  type FilterValues,
} from '../domain/change.ts';
import type { Entity } from '../domain/entity.ts';
import { ClarinError } from '../domain/errors.ts';
import { toLsn, type Lsn } from '../domain/lsn.ts';
import { ENTITIES } from '../domain/registry.ts';
import type { Metrics } from '../platform/metrics.ts';
import { formatMicros } from './commit-time.ts';
import { parseHeartbeat, parseOrigin, parseSignal, parseWas } from './logical-message.ts';
import { OpenTransactions, openTransaction, type OpenTransaction } from './open-transactions.ts';
import {
  readMessage,
  streamedXidOf,
  type LogicalMessage,
  type PgOutputMessage,
  type Tuple,
} from './pgoutput.ts';
import { compileRelation, type Relation } from './relation.ts';
import {
  TRANSACTION_LIMITS,
  type DecodedTransaction,
  type TransactionBuilder,
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
 * Turns the frames of one replication stream into whole transactions, in commit order. A new one for every attempt:
 * Postgres sends each table's Relation anew. Small transactions come whole after their commit, without what was rolled
 * back to a savepoint; of large ones stretches come while they are under way, and then how each savepoint and the whole
 * of it ended. https://www.postgresql.org/docs/current/protocol-logical-replication.html
 */
export class Decoder {
  readonly #metrics: Metrics;
  readonly #entities: readonly Entity[];
  readonly #limits: TransactionLimits;
  readonly #relations = new Map<number, Relation>();
  readonly #streamed: OpenTransactions;
  /** What the next change belongs to. */
  #open: OpenTransaction | undefined;
  /** It is a stretch of a transaction under way. */
  #isStreamed = false;
  #committedAt = '';

  constructor({ metrics, entities = ENTITIES, limits = TRANSACTION_LIMITS }: Options) {
    this.#metrics = metrics;
    this.#entities = entities;
    this.#limits = limits;
    this.#streamed = new OpenTransactions(limits);
  }

  /** A keepalive's position means nothing while one is being sent. Between stretches all that has committed was sent. */
  get isInTransaction(): boolean {
    return this.#open !== undefined;
  }

  /**
   * Takes the next frame, which may be reused afterwards. Answers the transaction it completes.
   * @throws ClarinError: `replication_drift` when a table no longer fits its declaration, `internal` when the frame cannot
   * be read. The decoder is of no use after that.
   */
  push(frame: Buffer): DecodedTransaction | undefined {
    const open = this.#open;
    if (!this.#isStreamed || !open) return this.#take(readMessage(frame));
    const message = readMessage(frame, true);
    if (open.fault && message.type !== 'stream stop') return undefined;
    open.builder.subxid = streamedXidOf(frame) ?? open.builder.subxid;
    try {
      return this.#take(message);
    } catch (error) {
      // A migration may still be rolled back: what does not fit is a fault when it has committed.
      if (!(error instanceof ClarinError) || error.code !== 'replication_drift') throw error;
      open.fault = error;
      return undefined;
    }
  }

  #take(message: PgOutputMessage): DecodedTransaction | undefined {
    switch (message.type) {
      case 'begin':
        this.#begin(openTransaction(message.xid, this.#limits));
        this.#committedAt = formatMicros(message.committedAtMicros);
        return undefined;
      case 'commit':
        return this.#finish(this.#end(), message, this.#committedAt);
      case 'stream start':
        this.#begin(this.#streamed.resume(message.xid));
        this.#isStreamed = true;
        return undefined;
      case 'stream stop':
        this.#end();
        this.#isStreamed = false;
        this.#streamed.bound();
        return undefined;
      case 'stream commit':
        return this.#streamCommit(message);
      case 'stream abort':
        this.#streamed.rollBack(message.xid, message.subxid);
        return undefined;
      case 'relation':
        this.#known().set(message.oid, compileRelation(message, this.#entities));
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

  #begin(open: OpenTransaction): void {
    if (this.#open) throw new ClarinError('internal', 'a transaction began inside another');
    this.#open = open;
  }

  #end(): OpenTransaction {
    const open = this.#open;
    if (!open) throw new ClarinError('internal', 'a transaction ended that had not begun');
    this.#open = undefined;
    return open;
  }

  #streamCommit(message: PgOutputMessage & { type: 'stream commit' }): DecodedTransaction {
    const open = this.#streamed.take(message.xid);
    // From here on Postgres takes it that everybody knows these tables so.
    for (const [oid, relation] of open.relations) this.#relations.set(oid, relation);
    return this.#finish(open, message, formatMicros(message.committedAtMicros));
  }

  #finish(
    { builder }: OpenTransaction,
    { commitStart, commitEnd }: Extract<PgOutputMessage, { commitEnd: Lsn }>,
    at: string,
  ): DecodedTransaction {
    this.#metrics.transactions.inc();
    this.#metrics.bulkMarkers.inc(builder.bulkCount);
    return builder.finish({ lsn: commitStart, endLsn: commitEnd, at });
  }

  /** Where a table that is told of now is kept. */
  #known(): Map<number, Relation> {
    return this.#isStreamed && this.#open ? this.#open.relations : this.#relations;
  }

  #builder(): TransactionBuilder {
    if (!this.#open) throw new ClarinError('internal', 'a change came outside of a transaction');
    return this.#open.builder;
  }

  #relation(oid: number): Relation {
    const relation = this.#open?.relations.get(oid) ?? this.#relations.get(oid);
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
    const was = this.#open?.was;
    if (!was || was.size === 0) return undefined;
    const key = `${relation.entity.table} ${relation.idOf(row)}`;
    const announced = was.get(key);
    if (announced !== undefined) was.delete(key);
    return announced?.message.values;
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
    const open = openTransaction(0, this.#limits);
    if (message.prefix !== MESSAGE_SIGNAL || !this.#read(message, open)) {
      this.#metrics.messagesIgnored.inc({ prefix: label(message.prefix) });
      return undefined;
    }
    const { lsn } = message;
    return open.builder.finish({ lsn, endLsn: toLsn(lsn + 1n), at: formatMicros(0n) });
  }

  /** False for what is not ours or does not fit. */
  #read({ prefix, content }: LogicalMessage, { builder, was }: OpenTransaction): boolean {
    switch (prefix) {
      case MESSAGE_WAS: {
        const message = parseWas(content);
        if (!message) return false;
        if (builder.isBulk(message.accountId, message.table)) return true;
        was.set(`${message.table} ${message.id}`, { message, subxid: builder.subxid });
        // Announcements without a change: the audiences those rows leave are told to refetch instead.
        if (was.size > PENDING_WAS_MAX) {
          for (const { message: one } of was.values()) builder.makeBulk(one.accountId, one.table);
          was.clear();
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
