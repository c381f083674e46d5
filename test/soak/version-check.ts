import { parseCursor } from '../../domain/cursor.ts';
import type { FeedChange } from '../../domain/feed-protocol.ts';
import { versionOf, type Group, type Ledger } from './ledger.ts';
import type { Tally } from './tally.ts';
import type { Rows } from './truth.ts';

type Options = {
  readonly tables: readonly string[];
  readonly ledger: Ledger;
  readonly tally: Tally;
  /** A version has arrived. */
  readonly onVersion?: (table: string, id: number, version: number) => void;
};

/** Of one client: no version of a versioned row is left out, none comes again, and a group's rows come together. */
export class VersionCheck {
  readonly #options: Options;
  readonly #break: (says: string) => void;
  /** By row, the version that was delivered last, or that a snapshot showed. */
  readonly #delivered = new Map<string, { version: number; isSnapshot: boolean }>();

  constructor(options: Options, onBroken: (says: string) => void) {
    this.#options = options;
    this.#break = onBroken;
  }

  /** From here on by this snapshot. */
  begin(tables: ReadonlyMap<string, Rows>): void {
    this.#delivered.clear();
    this.take(tables);
  }

  /** Tables that were read again. */
  take(tables: ReadonlyMap<string, Rows>): void {
    for (const [table, rows] of tables)
      for (const [id, row] of rows) {
        const version = versionOf(table, row);
        if (version !== undefined && this.#options.ledger.groupOf(table, id))
          this.#delivered.set(`${table} ${id}`, { version, isSnapshot: true });
      }
  }

  /** The changes of one whole commit, which the feed says is this one. */
  check(changes: readonly FeedChange[], { cursor, xid }: { cursor: string; xid: number }): void {
    const written = new Map<Group, { version: number; rows: Set<string> }>();
    for (const change of changes) {
      if (change.op !== 'update') continue;
      const id = Number(change.key['id']);
      const group = this.#options.ledger.groupOf(change.table, id);
      const version = group && versionOf(change.table, change.row);
      if (!group || version === undefined) continue;
      const key = `${change.table} ${id}`;
      this.#follow(key, version, cursor);
      this.#place({ table: change.table, id, version }, { cursor, xid });
      const together = written.get(group) ?? { version, rows: new Set<string>() };
      if (together.version !== version) this.#break(`${key}: two versions in ${cursor}`);
      written.set(group, { version: together.version, rows: together.rows.add(key) });
      this.#options.onVersion?.(change.table, id, version);
    }
    for (const [group, { version, rows }] of written) {
      const due = group.rows.filter(({ table }) => this.#options.tables.includes(table)).length;
      if (rows.size !== due)
        this.#break(`${rows.size} of ${due} rows of version ${version} in ${cursor}`);
      if (due > 1) this.#options.tally.add('transactions whole');
    }
  }

  /** Where the feed says that it was committed. */
  #place(
    row: { table: string; id: number; version: number },
    { cursor, xid }: { cursor: string; xid: number },
  ): void {
    const lsn = parseCursor(cursor)?.lsn;
    if (lsn === undefined) return this.#break(`a commit at ${cursor}, which is no cursor`);
    this.#options.ledger.see({ ...row, lsn, xid, complain: this.#break });
    this.#options.tally.add('versions placed');
  }

  #follow(key: string, version: number, cursor: string): void {
    const before = this.#delivered.get(key);
    // A snapshot may be newer than its cursor: what comes behind it may be known already.
    const follows =
      before === undefined ||
      (before.isSnapshot ? version <= before.version + 1 : version === before.version + 1);
    if (!follows)
      this.#break(`${key} went from version ${before.version} to ${version} at ${cursor}`);
    this.#delivered.set(key, { version, isSnapshot: false });
    this.#options.tally.add('versions in order');
  }
}
