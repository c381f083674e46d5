import { formatLsn, LSN_ZERO, type Lsn } from '../../domain/lsn.ts';

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

/** Where a version was committed: its record begins at or behind `from` and ends at or before `lsn`. */
export type Committed = {
  readonly version: number;
  readonly from?: Lsn | undefined;
  readonly lsn: Lsn;
  /** Its low 32 bits, as the feed has them; undefined where the writer could not ask. */
  readonly xid?: number | undefined;
};

type Commit = Committed & { readonly atMs: number };
type Known = { readonly group: Group; readonly commits: Commit[] };

/** An event that brought a version, and who is told when it was not committed there. */
export type Sighting = {
  readonly table: string;
  readonly id: number;
  readonly version: number;
  readonly lsn: Lsn;
  readonly xid: number;
  readonly complain: (says: string) => void;
};

const COMMITS_KEPT = 2_000;

/**
 * Which version of a row is committed where. By it a single read or event can be judged while writers go on: a read that knows
 * everything up to a cursor must show every version that was committed before.
 */
export class Ledger {
  readonly groups: readonly Group[];
  readonly #byRow = new Map<string, Known>();
  /** Of versions that came before their writer heard of his own commit. */
  readonly #early = new Set<Sighting>();

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

  /** `atMs`: when it was known to be committed. Without `from` it is known only to follow the version before. */
  note(group: Group, committed: Committed, atMs = performance.now()): void {
    const [first] = group.rows;
    const known = first && this.#byRow.get(`${first.table} ${first.id}`);
    if (!known) throw new Error('a group that is not in the ledger');
    const from = committed.from ?? known.commits.at(-1)?.from;
    group.version = committed.version;
    known.commits.push({ ...committed, from, atMs });
    if (known.commits.length > COMMITS_KEPT) known.commits.shift();
    for (const sighting of this.#early)
      if (this.groupOf(sighting.table, sighting.id) === group) this.#judge(known, sighting);
  }

  /**
   * An event has brought a version: it must name the commit that wrote it, by position and transaction. What the writer does
   * not know yet is judged when he does.
   */
  see(sighting: Sighting): void {
    const known = this.#byRow.get(`${sighting.table} ${sighting.id}`);
    if (known) this.#judge(known, sighting);
  }

  #judge({ group, commits }: Known, sighting: Sighting): void {
    const { table, id, version, lsn, xid, complain } = sighting;
    if (version > group.version) {
      this.#early.add(sighting);
      return;
    }
    this.#early.delete(sighting);
    const commit = commits.find((one) => one.version === version);
    // So old that it is forgotten.
    if (!commit) return;
    const { from = LSN_ZERO, lsn: to } = commit;
    if (lsn < from || lsn >= to)
      complain(
        `${table} ${id}: version ${version} at ${formatLsn(lsn)}, but it was committed between ${formatLsn(from)} and ${formatLsn(to)}`,
      );
    if (commit.xid !== undefined && commit.xid !== xid)
      complain(
        `${table} ${id}: version ${version} of transaction ${xid}, but ${commit.xid} wrote it`,
      );
  }

  /** When all writers have come to rest: events of versions that nobody has committed. Each is told once. */
  complainOfEarly(): void {
    for (const { table, id, version, complain } of this.#early)
      complain(`${table} ${id}: version ${version}, which nobody has committed`);
    this.#early.clear();
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
