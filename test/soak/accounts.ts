import { issueAccessToken } from '../../platform/access.ts';
import type { Database } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { createAccount } from '../support/account-fixture.ts';
import type { Group } from './ledger.ts';

export type SoakAccount = {
  readonly id: number;
  readonly userId: number;
  readonly token: string;
  /** Stands in texts of this account's rows and of no other's. */
  readonly mark: string;
  /** Ids by table that nobody may delete or write but those who own them: what the soak itself stands on. */
  readonly kept: ReadonlyMap<string, readonly number[]>;
  readonly groups: readonly Group[];
};

/** People and leads beyond the fixture's, account by account: a big one, and small ones. */
const SIZES = [600, 120, 20, 0] as const;
const GROUPS = 6;
const LATER_SECONDS = 12 * 3_600;

/** Accounts of different size with a row in every table, each with one who may do everything. */
export async function createAccounts(owner: Database, secret: string): Promise<SoakAccount[]> {
  const accounts: SoakAccount[] = [];
  for (const [index, size] of SIZES.entries())
    accounts.push(await createOne(owner, secret, { slug: `soak-${index + 1}`, size }));
  return accounts;
}

async function createOne(
  owner: Database,
  secret: string,
  { slug, size }: { slug: string; size: number },
): Promise<SoakAccount> {
  const { accountId: id, userId } = await createAccount(owner, slug);
  const mark = `§${slug}§`;
  const rows = await owner.query(sql`
    with people as (
      insert into public.contacts (account_id, name, phone)
      select ${id}, ${mark} || ' person ' || number, '5199' || lpad(number::text, 7, '0')
      from generate_series(101, 100 + ${size + GROUPS * 2}::int) as number
      returning id, name
    )
    insert into public.leads (account_id, contact_id, title)
    select ${id}, id, 'Lead of ' || name from people order by id
    returning id, contact_id`);
  const chosen = rows.slice(0, GROUPS * 2).map((row) => ({
    lead: Number(row['id']),
    contact: Number(row['contact_id']),
  }));
  const groups = chosen.map(({ lead, contact }, index): Group => {
    // The first half is written by SQL, two tables at once; the other half by the API, one row at a time.
    const alone = { table: 'leads', id: lead } as const;
    const both = [alone, { table: 'contacts', id: contact } as const];
    return { accountId: id, rows: index < GROUPS ? both : [alone], version: 0, isTaken: false };
  });
  const keep = (table: string): Promise<number[]> => keptOf(owner, id, table);
  const [session] = await owner.query(sql`
    select id from public.sessions where account_id = ${id} and user_id = ${userId}`);
  const claims = { sessionId: Number(session?.['id']), userId, accountId: id };
  // As if logged in later: a soak takes longer than a token lives.
  const { token } = await issueAccessToken(secret, claims, Date.now() / 1_000 + LATER_SECONDS);
  const kept = new Map<string, readonly number[]>([
    ['leads', chosen.map(({ lead }) => lead)],
    ['contacts', chosen.map(({ contact }) => contact)],
    ['roles', await keep('roles')],
    ['memberships', await keep('memberships')],
    ['sessions', await keep('sessions')],
    ['pipelines', await keep('pipelines')],
    ['pipeline_stages', await keep('pipeline_stages')],
    ['accounts', [id]],
    ['users', [userId]],
  ]);
  return { id, userId, token, mark, kept, groups };
}

async function keptOf(owner: Database, accountId: number, table: string): Promise<number[]> {
  const rows = await owner.query(
    sql`select id from ${ident('public')}.${ident(table)} where account_id = ${accountId}`,
  );
  return rows.map((row) => Number(row['id']));
}
