import { users } from '../../../domain/entities/users.ts';
import { publishedColumns } from '../../../domain/entity.ts';
import { compileRowWriter } from '../../../domain/row-json.ts';
import type { Queries, TextRow } from '../../../platform/postgres.ts';
import { column, empty, join, sql } from '../../../platform/sql.ts';

const COLUMNS = publishedColumns(users);
const writeUser = compileRowWriter(users, COLUMNS);
const selectColumns = join(COLUMNS.map((name) => column('person', name)));

function writeMember(row: TextRow): string {
  const user = writeUser(COLUMNS.map((name) => row[name]));
  return `${user.slice(0, -1)},"membership_id":${row['membership_id']},"role_id":${row['role_id']}}`;
}

/** A member of the account with their role here, JSON text; undefined: no such member. */
export async function readMemberJson(
  db: Queries,
  { accountId, id, signal }: { accountId: number; id: number; signal?: AbortSignal },
): Promise<string | undefined> {
  const rows = await db.query(
    sql`
      select ${selectColumns}, member.id as membership_id, member.role_id
      from public.memberships as member
      join public.users as person on person.id = member.user_id
      where member.account_id = ${accountId} and member.user_id = ${id}`,
    { signal },
  );
  return rows[0] && writeMember(rows[0]);
}

export type UserQuery = {
  readonly page: number;
  readonly limit: number;
  readonly search?: string | undefined;
};

/** Members of the account by name, `{data, total, page, limit}`. One statement. */
export async function listMembersJson(
  db: Queries,
  { accountId, query, signal }: { accountId: number; query: UserQuery; signal?: AbortSignal },
): Promise<string> {
  const { page, limit, search } = query;
  const pattern = `%${(search ?? '').replaceAll(/[\\%_]/g, '\\$&')}%`;
  const searched = search
    ? sql` and (person.username ilike ${pattern} or person.display_name ilike ${pattern} or person.email ilike ${pattern})`
    : empty;
  const members = sql`
    from public.memberships as member
    join public.users as person on person.id = member.user_id
    where member.account_id = ${accountId}${searched}`;
  const rows = await db.query(
    sql`
      select ${selectColumns}, person.membership_id, person.role_id, counted.total
      from (select count(*) as total ${members}) as counted
      left join (
        select ${selectColumns}, member.id as membership_id, member.role_id
        ${members}
        order by person.display_name, person.id
        limit ${limit} offset ${(page - 1) * limit}
      ) as person on true
      order by person.display_name, person.id`,
    { signal },
  );
  const shown = rows.filter((row) => row['id'] !== null).map(writeMember);
  return `{"data":[${shown.join(',')}],"total":${rows[0]?.['total'] ?? '0'},"page":${page},"limit":${limit}}`;
}
