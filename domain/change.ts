import type { Lsn } from './lsn.ts';

/** `bulk`: more rows than the feed carries, refetch what you show; `truncate`: all rows are gone. */
export type ChangeOp = 'insert' | 'update' | 'delete' | 'bulk' | 'truncate';

/** Texts of a row's feed-filter columns, as Postgres prints them. */
export type FilterValues = Readonly<Record<string, string | null>>;

/**
 * One change of one row for one account, encoded once when it is decoded and never again: every frame, the
 * account's log and every resume use the same text.
 */
export type EncodedChange = {
  readonly table: string;
  readonly op: ChangeOp;
  /** `{"table":"leads","op":"update","key":{"id":1},"row":{...},"unchanged":[...]}`: what goes into a frame. */
  readonly json: string;
  /** The same without the columns that need a permission; absent where the entity has none. */
  readonly restrictedJson?: string;
  /** `{"id":1}`; `{}` for bulk and truncate. */
  readonly keyJson: string;
  /** After the change; null when no row is left (delete) or it is not about one row (bulk, truncate). */
  readonly now: FilterValues | null;
  /** Before the change, where they differ from `now` or the row is gone; null when nothing is known of before. */
  readonly was: FilterValues | null;
};

/** What one transaction changed in one account: the unit of apply, log, delivery and order. */
export type AccountCommit = {
  readonly accountId: number;
  /** Where the commit record begins. Identity of a change is (lsn, index); the cursor is lsn. */
  readonly lsn: Lsn;
  /** Low 32 bits, as the commit says. */
  readonly xid: number;
  /** Commit time, RFC 3339 UTC. */
  readonly at: string;
  /** JSON text of the origin the writer announced, verbatim. */
  readonly origin: string | undefined;
  readonly changes: readonly EncodedChange[];
  /** JSON texts of ephemeral signals of this transaction for this account, in order. Never logged. */
  readonly signals: readonly string[];
};

/** The JSON of a row leaving an audience: key only. */
export function leaveJson(change: EncodedChange): string {
  return `{"table":${JSON.stringify(change.table)},"op":"delete","key":${change.keyJson}}`;
}

/** Above this many changes of one table for one account in one transaction the feed carries one `bulk` marker. */
export const BULK_CHANGES_MAX = 20_000;
/** Encoded bytes held for one transaction; beyond it the largest (account, table) groups become `bulk` markers. */
export const TRANSACTION_BYTES_MAX = 32 * 1024 * 1024;
/** Largest part of a commit in the log and in a frame, in UTF-16 units of its changes. One larger row stands alone. */
export const PART_BYTES_MAX = 256 * 1024;

/** Logical message prefixes in the write-ahead log. https://www.postgresql.org/docs/current/functions-admin.html */
export const MESSAGE_ORIGIN = 'clarin.origin';
export const MESSAGE_SIGNAL = 'clarin.signal';
export const MESSAGE_HEARTBEAT = 'clarin.heartbeat';
/** Written by the trigger clarin.announce_was before a row leaves a feed filter: {t, a, id, v}. */
export const MESSAGE_WAS = 'clarin.was';
