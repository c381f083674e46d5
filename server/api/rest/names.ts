import { devices } from '../../../domain/entities/devices.ts';
import { users } from '../../../domain/entities/users.ts';
import type { Entity } from '../../../domain/entity.ts';
import { compileRowWriter } from '../../../domain/row-json.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { column, join, sql, type Sql } from '../../../platform/sql.ts';

/** What is shown of a member to the other members. `display_name` is the username where somebody has no other. */
export const PERSON_COLUMNS = ['id', 'display_name', 'is_active'] as const;
/** What is shown of a device to those who chat through it. */
export const CHAT_DEVICE_COLUMNS = ['id', 'name', 'phone', 'status'] as const;

export type NameQuery = { readonly page: number; readonly limit: number };

type Asked = { query: NameQuery; signal: AbortSignal };

/** The members of the account by name, `{data, total, page, limit}`. One statement. */
export function listPeopleJson(
  db: Queries,
  { accountId, ...asked }: Asked & { accountId: number },
): Promise<string> {
  return listNames(db, asked, {
    entity: users,
    columns: PERSON_COLUMNS,
    rows: sql`
      select person.id, shown.display_name, person.is_active, lower(shown.display_name) as sorted_by
      from public.memberships as member
      join public.users as person on person.id = member.user_id
      cross join lateral (
        select coalesce(nullif(btrim(person.display_name), ''), person.username) as display_name
      ) as shown
      where member.account_id = ${accountId}`,
  });
}

/** The devices in reach by name, `{data, total, page, limit}`. One statement. */
export function listChatDevicesJson(
  db: Queries,
  { query, signal, ...reach }: Asked & Reach,
): Promise<string> {
  return listNames(
    db,
    { query, signal },
    {
      entity: devices,
      columns: CHAT_DEVICE_COLUMNS,
      rows: sql`
        select device.id, device.name, device.phone, device.status, lower(device.name) as sorted_by
        from public.devices as device
        where ${inReach(devices, 'device', reach)}`,
    },
  );
}

type Names = {
  entity: Entity;
  columns: readonly string[];
  /** Those columns and `sorted_by`. */
  rows: Sql;
};

/** With no rows on the page there is one without an id, for the total. */
async function listNames(
  db: Queries,
  { query: { page, limit }, signal }: Asked,
  { entity, columns, rows }: Names,
): Promise<string> {
  const selected = (alias: string): Sql => join(columns.map((name) => column(alias, name)));
  const found = await db.query(
    sql`
      with named as (${rows}
      )
      select ${selected('shown')}, counted.total
      from (select count(*) as total from named) as counted
      left join (
        select ${selected('named')}, named.sorted_by
        from named
        order by named.sorted_by, named.id
        limit ${limit} offset ${(page - 1) * limit}
      ) as shown on true
      order by shown.sorted_by, shown.id`,
    { signal },
  );
  const writeRow = compileRowWriter(entity, columns);
  const shown = found
    .filter((row) => row['id'] !== null)
    .map((row) => writeRow(columns.map((name) => row[name])));
  return `{"data":[${shown.join(',')}],"total":${found[0]?.['total'] ?? '0'},"page":${page},"limit":${limit}}`;
}
