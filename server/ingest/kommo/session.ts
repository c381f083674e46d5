import { ClarinError, ERRORS } from '../../../domain/errors.ts';
import type { Log } from '../../../platform/log.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database, Queries } from '../../../platform/postgres.ts';
import type { KommoScope } from '../../commands/apply-kommo-looks.ts';
import type { KommoCursor } from '../../commands/kommo-cursors.ts';
import type { Lease } from '../../commands/lease-work.ts';
import type { KommoClient } from '../../kommo/client.ts';
import type { Turn } from '../../kommo/turn.ts';
import type { Clock } from '../clock.ts';
import { writeInLease } from '../write-in-lease.ts';
import type { Connection } from './connections.ts';
import type { References } from './pass-reference.ts';
import type { Reading } from './read-updated.ts';
import type { LookedAt, SeenRows } from './seen-rows.ts';

export type ListName = 'contacts' | 'leads' | 'deleted' | 'events';

/** What everybody needs who works on one connection, for as long as its lease holds. */
export type Session = {
  readonly scope: KommoScope;
  readonly lease: Lease;
  readonly client: KommoClient;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** One transaction of this connection at a time: two would wait for each other in the database. */
  readonly writes: Turn;
  /** As it was last looked at. */
  connection: Connection;
  /** Where everything went on when the lease began. */
  readonly cursors: ReadonlyMap<string, KommoCursor>;
  readonly lists: Map<ListName, ListState>;
  readonly seen: Readonly<Record<'lead' | 'contact' | 'deleted', SeenRows>>;
  readonly references: References;
  /** By the clock, ms; undefined: not yet. */
  changedAtMs: number | undefined;
  /** When people were last told that something changed. */
  toldAtMs: number;
  /** Counts requests that leave, and answers. */
  looks: number;
  /** When a round of hints last went before everything else, by the clock, ms. */
  hintedAtMs: number;
  /** Rows that were not there when they were looked for, and count as deleted, since the sweep was last round. */
  readonly buried: Record<'lead' | 'contact', number>;
  /** Ids of rows to be looked at once more. */
  readonly doubts: Readonly<Record<'lead' | 'contact', Set<number>>>;
};

export type ListState = {
  reading: Reading;
  /** What would be read again after a crash begins here. */
  savedCursor: number;
  savedAtMs: number;
};

export type Looked<T> = { readonly value: T; readonly at: LookedAt };

/** What a request brings, and when: of two looks at a row the one that was asked for later counts. */
export async function lookAt<T>(session: Session, ask: () => Promise<T>): Promise<Looked<T>> {
  const sent = (session.looks += 1);
  const value = await ask();
  return { value, at: { sent, received: (session.looks += 1) } };
}

/** One transaction by virtue of the lease, one at a time. @throws LeaseLost, ClarinError, the signal's reason. */
export function write<T>(session: Session, work: (tx: Queries) => Promise<T>): Promise<T> {
  return session.writes.take(() => writeInLease({ ...session, source: 'kommo' }, work));
}

/** Whether fewer rows in one transaction may help: something about one of them is refused, or all take too long. */
export function isOfRows(error: unknown): boolean {
  return error instanceof ClarinError && (error.code === 'timeout' || !ERRORS[error.code].retry);
}
