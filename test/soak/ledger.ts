import type { Lsn } from '../../domain/lsn.ts';

export type VersionedTable = 'leads' | 'contacts';

/** Rows that one transaction always writes together, and only by writing the next version into all of them. */
export type Group = {
  readonly accountId: number;
  readonly rows: readonly { readonly table: VersionedTable; readonly id: number }[];
  /** The last that is known to be committed. */
  version: number;
  /** Somebody writes it: nobody else must, or versions would not follow each other. */
  isTaken: boolean;
};

type Commit = { readonly version: number; readonly lsn: Lsn; readonly atMs: number };
type Known = { readonly group: Group; readonly commits: Commit[] };

const COMMITS_KEPT = 2_000;

/**
 * Which version of a row is committed where. By it a single read or event can be judged while writers go on: a read that knows
 * everything up to a cursor must show every version that was committed before.
 */
export class Ledger {
  readonly groups: readonly Group[];
  readonly #byRow = new Map<string, Known>();

  constructor(groups: readonly Group[]) {
    this.groups = groups;
    for (const group of groups) {
      const known = { group, commits: [] };
      for (const { table, id } of group.rows) this.#byRow.set(`${table} ${id}`, known);
    }
  }

  groupOf(table: string, id: number): Group | undefined {
    return this.#byRow.get(`${table} ${id}`)?.group;
  }

  /** `lsn`: at or behind the end of the commit. `atMs`: when it was known to be committed. */
  note(group: Group, version: number, lsn: Lsn, atMs = performance.now()): void {
    const [first] = group.rows;
    const known = first && this.#byRow.get(`${first.table} ${first.id}`);
    if (!known) throw new Error('a group that is not in the ledger');
    group.version = version;
    known.commits.push({ version, lsn, atMs });
    if (known.commits.length > COMMITS_KEPT) known.commits.shift();
  }

  /** The oldest version that whoever knows everything up to `lsn` may show. */
  floorAt(table: string, id: number, lsn: Lsn): number {
    const commits = this.#byRow.get(`${table} ${id}`)?.commits ?? [];
    return commits.findLast((commit) => commit.lsn <= lsn)?.version ?? 0;
  }

  /** Of the newest version known to be committed; undefined before the first. */
  newest(group: Group): Commit | undefined {
    const [first] = group.rows;
    return first && this.#byRow.get(`${first.table} ${first.id}`)?.commits.at(-1);
  }

  /** For how long `version` had been over at that time, in ms; 0 when it was not. */
  ageOf(row: { table: string; id: number; version: number }, atMs: number): number {
    const commits = this.#byRow.get(`${row.table} ${row.id}`)?.commits ?? [];
    const next = commits.find((commit) => commit.version > row.version);
    return next ? Math.max(0, atMs - next.atMs) : 0;
  }
}

/** The version that a row shows; undefined when it has none. */
export function versionOf(table: string, row: Record<string, unknown>): number | undefined {
  if (table === 'leads') return typeof row['value'] === 'number' ? row['value'] : undefined;
  const name = row['custom_name'];
  const match = /^v(\d+)$/.exec(typeof name === 'string' ? name : '');
  return match ? Number(match[1]) : undefined;
}
