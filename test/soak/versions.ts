import { mustParseLsn, type Lsn } from '../../domain/lsn.ts';
import type { Random } from './faults/fault.ts';
import type { SoakAccount } from './accounts.ts';
import type { Group, Ledger } from './ledger.ts';
import { NEVER_CACHED, type Rest } from './rest.ts';
import type { OwnWorld } from './world.ts';

export type Means = {
  readonly world: OwnWorld;
  readonly ledger: Ledger;
  readonly rest: Rest;
  readonly random: Random;
};

/** Writes the next version of one of the account's groups, by SQL or by the API as the group is made. */
export async function writeVersion(means: Means, account: SoakAccount): Promise<boolean> {
  const free = account.groups.filter((group) => !group.isTaken);
  const group = free[means.random(Math.max(1, free.length))];
  if (!group) return false;
  group.isTaken = true;
  const known: Known = {};
  try {
    await (
      group.rows.length > 1 ? writeBySql(means, group, known) : writeByApi(means, account, group)
    ).catch(() => learn(means, group, known));
  } finally {
    group.isTaken = false;
  }
  return true;
}

/** What a writer knew of his commit before he sent it. */
type Known = { from?: Lsn; xid?: number };

async function writeBySql({ world, ledger }: Means, group: Group, known: Known): Promise<void> {
  const version = group.version + 1;
  const client = await world.pool.connect();
  let isWhole = false;
  try {
    await client.query('begin');
    for (const { table, id } of group.rows)
      await client.query(
        table === 'leads'
          ? 'update leads set value = $1 where account_id = $2 and id = $3'
          : 'update contacts set custom_name = $1 where account_id = $2 and id = $3',
        [table === 'leads' ? version : `v${version}`, group.accountId, id],
      );
    const { rows: before } = await client.query<{ lsn: string; xid: string }>(
      'select pg_current_wal_insert_lsn() as lsn, pg_current_xact_id() as xid',
    );
    known.from = mustParseLsn(before[0]?.lsn ?? '');
    known.xid = Number(BigInt(before[0]?.xid ?? 0) & 0xffffffffn);
    await client.query('commit');
    // Behind the commit: what comes between makes the check later, not weaker.
    const { rows } = await client.query<{ lsn: string }>(
      'select pg_current_wal_insert_lsn() as lsn',
    );
    ledger.note(group, { ...known, version, lsn: mustParseLsn(rows[0]?.lsn ?? '') });
    isWhole = true;
  } finally {
    client.release(!isWhole);
  }
}

async function writeByApi(means: Means, account: SoakAccount, group: Group): Promise<void> {
  const { rest, ledger, world } = means;
  const version = group.version + 1;
  const id = group.rows[0]?.id;
  const body = { value: version };
  // A request that is given up may be carried out later still: by then it must not fit any more.
  const path = `/api/leads/${id}`;
  const { etag = '' } = await rest(account.token, `GET ${path}`, { minCommit: NEVER_CACHED });
  // What is flushed stays: what was only inserted a crash may take back, and the commit may come to lie before it.
  const [flushed] = await world.sql('select pg_current_wal_flush_lsn() as lsn');
  const from = mustParseLsn(String(flushed?.['lsn']));
  const { status, commit, text } = await rest(account.token, `PATCH ${path}`, {
    body,
    ifMatch: etag,
  });
  if (status !== 200 || commit === undefined) throw new Error(`${status} ${text}`);
  ledger.note(group, { from, version, lsn: mustParseLsn(commit) });
}

/** The outcome of a write is not known: Postgres is asked until it says, and behind whoever may still be writing. */
async function learn({ world, ledger }: Means, group: Group, known: Known): Promise<void> {
  const lead = group.rows[0]?.id;
  for (;;) {
    try {
      const [row] = await world.sql(
        `with lead as (select value from leads where account_id = $1 and id = $2 for update)
         select value, pg_current_wal_insert_lsn() as lsn from lead`,
        [group.accountId, lead],
      );
      const version = Number(row?.['value'] ?? 0);
      if (version > group.version)
        ledger.note(group, { ...known, version, lsn: mustParseLsn(String(row?.['lsn'])) });
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
