import { users } from '../../../domain/entities/users.ts';
import { publishedColumns } from '../../../domain/entity.ts';
import { compileRowWriter } from '../../../domain/row-json.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { column, join, sql } from '../../../platform/sql.ts';

const USER_COLUMNS = publishedColumns(users);
const writeUser = compileRowWriter(users, USER_COLUMNS);

/** Who a user is, whichever account they are in; JSON text. Undefined: no such user. */
export async function readUserJson(
  db: Queries,
  userId: number,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const columns = join(USER_COLUMNS.map((name) => column('person', name)));
  const rows = await db.query(
    sql`select ${columns} from public.users as person where person.id = ${userId}`,
    {
      signal,
    },
  );
  const row = rows[0];
  return row && writeUser(USER_COLUMNS.map((name) => row[name]));
}

export type AccountOfUser = {
  id: number;
  name: string;
  slug: string;
  role_id: number;
  role: string;
  is_default: boolean;
};

/** Active accounts a user is a member of; the default one first. */
export async function readAccountsOf(
  db: Queries,
  userId: number,
  signal?: AbortSignal,
): Promise<AccountOfUser[]> {
  const rows = await db.query(
    sql`
      select account.id, account.name, account.slug, member.role_id, role.name as role, member.is_default
      from public.memberships as member
      join public.accounts as account on account.id = member.account_id and account.is_active
      join public.roles as role on role.account_id = member.account_id and role.id = member.role_id
      where member.user_id = ${userId}
      order by member.is_default desc, account.id`,
    { signal },
  );
  return rows.map((row) => ({
    id: Number(row['id']),
    name: row['name'] ?? '',
    slug: row['slug'] ?? '',
    role_id: Number(row['role_id']),
    role: row['role'] ?? '',
    is_default: row['is_default'] === 't',
  }));
}

/** The account a super admin without memberships begins in. */
export async function readFirstAccountId(
  db: Queries,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const rows = await db.query(
    sql`select id from public.accounts where is_active order by id limit 1`,
    { signal },
  );
  return rows[0] ? Number(rows[0]['id']) : undefined;
}
