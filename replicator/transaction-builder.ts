import {
  BULK_CHANGES_MAX,
  TRANSACTION_BYTES_MAX,
  type AccountCommit,
  type EncodedChange,
} from '../domain/change.ts';
import type { Lsn } from '../domain/lsn.ts';
import type { Heartbeat, Signal } from './logical-message.ts';

/** One whole transaction, in commit order with every other. */
export type DecodedTransaction = {
  /** Where its commit record begins: its identity, and the cursor of its changes. */
  readonly lsn: Lsn;
  /**
   * Where that record ends: the position that is reached when it is applied, and what Postgres is told. The next
   * commit record may begin at this very byte (hazard H1), so an end is never compared with a beginning by `<=`.
   */
  readonly endLsn: Lsn;
  /** Low 32 bits; 0 for what came outside of a transaction and has nothing to become visible. */
  readonly xid: number;
  /** Commit time, RFC 3339 UTC with microseconds. */
  readonly at: string;
  /** Each account it touched, in order of first touch. */
  readonly commits: readonly AccountCommit[];
  /**
   * Markers of truncated tables. They are among the changes of every account in `commits`, at their place; all
   * other accounts there are receive a commit of these alone.
   */
  readonly truncates: readonly EncodedChange[];
  readonly heartbeat: Heartbeat | undefined;
  /** Row changes in the WAL, those behind bulk markers and some that were rolled back included. */
  readonly changesCount: number;
  /** Memory it holds, roughly. */
  readonly bytes: number;
};

/** Bounds on what one transaction may hold in memory. */
export type TransactionLimits = { readonly changesMax: number; readonly bytesMax: number };

export const TRANSACTION_LIMITS: TransactionLimits = {
  changesMax: BULK_CHANGES_MAX,
  bytesMax: TRANSACTION_BYTES_MAX,
};

/** Signals of one transaction; they are ephemeral, so what is beyond is lost. */
const SIGNALS_MAX = 1_000;

/** What an encoded change weighs beside its texts. */
const CHANGE_OVERHEAD_BYTES = 160;

type Group = { count: number; bytes: number; isBulk: boolean };
/** A change and the savepoint it came in: what is rolled back to it is not of the transaction. Messages name none. */
type Held = { readonly value: EncodedChange; readonly subxid: number };
type Share = {
  changes: Held[];
  readonly groups: Map<string, Group>;
  readonly signals: string[];
};

/** Of the transaction itself: never rolled back by itself. */
const TOP = 0;

/**
 * Collects one transaction, account by account. A group is the changes of one table for one account; one that grows
 * too large becomes a single `bulk` marker at the place of its first change, and its further changes are only counted.
 * A marker stays when what made it is rolled back: who reads once too often is not harmed.
 */
export class TransactionBuilder {
  readonly xid: number;
  /** Of what is added from here on, where a part of the transaction may still be rolled back. */
  subxid = TOP;
  readonly #limits: TransactionLimits;
  readonly #shares = new Map<number, Share>();
  readonly #truncates: Held[] = [];
  /** Savepoints that something is held of, and those that were rolled back. */
  readonly #subxids = new Set<number>();
  readonly #rolledBack = new Set<number>();
  #changesCount = 0;
  #bytes = 0;
  /** Above it the largest groups become markers. */
  #shrinkAboveBytes: number;
  #bulkCount = 0;
  #signalsCount = 0;
  #origin: string | undefined;
  #heartbeat: Heartbeat | undefined;

  constructor(xid: number, limits: TransactionLimits) {
    this.xid = xid;
    this.#limits = limits;
    this.#shrinkAboveBytes = limits.bytesMax;
  }

  /** Groups that became a marker so far. */
  get bulkCount(): number {
    return this.#bulkCount;
  }

  /** Memory it holds, roughly. */
  get bytes(): number {
    return this.#bytes + CHANGE_OVERHEAD_BYTES;
  }

  /** True when a change of this table for this account need not be encoded. */
  isBulk(accountId: number, table: string): boolean {
    return this.#shares.get(accountId)?.groups.get(table)?.isBulk ?? false;
  }

  count(changes: number): void {
    this.#changesCount += changes;
  }

  add(accountId: number, change: EncodedChange): void {
    const share = this.#share(accountId);
    const group = groupOf(share, change.table);
    if (group.isBulk) return;
    const bytes = sizeOf(change);
    share.changes.push(this.#hold(change));
    group.count++;
    group.bytes += bytes;
    this.#bytes += bytes;
    if (group.count > this.#limits.changesMax) this.#makeBulk(share, change.table, group);
    else if (this.#bytes > this.#shrinkAboveBytes) this.#shrink();
  }

  /** Turns a group into a marker whatever its size. */
  makeBulk(accountId: number, table: string): void {
    const share = this.#share(accountId);
    const group = groupOf(share, table);
    if (!group.isBulk) this.#makeBulk(share, table, group);
  }

  truncate(table: string): void {
    const held = this.#hold(markerOf(table, 'truncate'));
    this.#truncates.push(held);
    for (const share of this.#shares.values()) appendTruncate(share, held);
  }

  /** False when there are too many of them. */
  signal({ accountId, json }: Signal): boolean {
    if (this.#signalsCount >= SIGNALS_MAX) return false;
    this.#signalsCount++;
    this.#share(accountId).signals.push(json);
    this.#bytes += json.length;
    return true;
  }

  origin(json: string): void {
    this.#origin = json;
  }

  /** What came under this number never was. */
  rollBack(subxid: number): void {
    if (this.#subxids.has(subxid)) this.#rolledBack.add(subxid);
  }

  #hold(value: EncodedChange): Held {
    if (this.subxid !== TOP) this.#subxids.add(this.subxid);
    return { value, subxid: this.subxid };
  }

  #stands = ({ subxid }: Held): boolean => !this.#rolledBack.has(subxid);

  heartbeat(heartbeat: Heartbeat): void {
    this.#heartbeat = heartbeat;
  }

  finish({
    lsn,
    endLsn,
    at,
  }: Pick<DecodedTransaction, 'lsn' | 'endLsn' | 'at'>): DecodedTransaction {
    const commits: AccountCommit[] = [];
    const valuesOf = (held: readonly Held[]): EncodedChange[] =>
      held.filter(this.#stands).map(({ value }) => value);
    for (const [accountId, share] of this.#shares) {
      const [changes, { signals }] = [valuesOf(share.changes), share];
      if (changes.length + signals.length === 0) continue;
      commits.push({ accountId, lsn, xid: this.xid, at, origin: this.#origin, changes, signals });
    }
    return {
      lsn,
      endLsn,
      xid: this.xid,
      at,
      commits,
      truncates: valuesOf(this.#truncates),
      heartbeat: this.#heartbeat,
      changesCount: this.#changesCount,
      bytes: this.bytes,
    };
  }

  #share(accountId: number): Share {
    let share = this.#shares.get(accountId);
    if (!share) {
      share = { changes: [], groups: new Map(), signals: [] };
      for (const change of this.#truncates) appendTruncate(share, change);
      this.#shares.set(accountId, share);
    }
    return share;
  }

  #makeBulk(share: Share, table: string, group: Group): void {
    let isMarked = false;
    const marker = { value: markerOf(table, 'bulk'), subxid: TOP };
    share.changes = share.changes.flatMap((held) => {
      if (held.value.table !== table) return [held];
      if (isMarked) return [];
      isMarked = true;
      return [marker];
    });
    if (!isMarked) share.changes.push(marker);
    this.#bytes += CHANGE_OVERHEAD_BYTES - group.bytes;
    group.bytes = 0;
    group.isBulk = true;
    this.#bulkCount++;
  }

  /**
   * Largest groups first, down to half of the bound, so that this runs seldom. What is left of very many accounts is small
   * groups and markers, which nothing makes smaller: it is looked at again when there is twice as much of it.
   */
  #shrink(): void {
    this.shrinkTo(this.#limits.bytesMax / 2);
    this.#shrinkAboveBytes = Math.max(this.#limits.bytesMax, this.#bytes * 2);
  }

  /** As far as groups can become markers. */
  shrinkTo(bytes: number): void {
    const groups = [...this.#shares.values()].flatMap((share) =>
      [...share.groups].map(([table, group]) => ({ share, table, group })),
    );
    groups.sort((left, right) => right.group.bytes - left.group.bytes);
    for (const { share, table, group } of groups) {
      if (this.#bytes <= bytes) return;
      if (!group.isBulk && group.bytes > CHANGE_OVERHEAD_BYTES * 2)
        this.#makeBulk(share, table, group);
    }
  }
}

function groupOf(share: Share, table: string): Group {
  let group = share.groups.get(table);
  if (!group) {
    group = { count: 0, bytes: 0, isBulk: false };
    share.groups.set(table, group);
  }
  return group;
}

/** A bulk marker says more than a truncate, so a group that has become one stays one. */
function appendTruncate(share: Share, held: Held): void {
  const group = groupOf(share, held.value.table);
  if (group.isBulk) return;
  group.count++;
  share.changes.push(held);
}

function markerOf(table: string, op: 'bulk' | 'truncate'): EncodedChange {
  const json = `{"table":${JSON.stringify(table)},"op":"${op}","key":{}}`;
  return { table, op, json, keyJson: '{}', now: null, was: null };
}

function sizeOf(change: EncodedChange): number {
  return (
    change.json.length +
    (change.restrictedJson?.length ?? 0) +
    change.keyJson.length +
    CHANGE_OVERHEAD_BYTES
  );
}
