import type { SoakWorld, SqlRow } from './fault.ts';

/**
 * Drops a table that nobody refers to and makes it anew with its rows, in one transaction: another table by its oid, the same
 * one by everything else but for publication and replica identity, which `clarin migrate` sees to. Answers what was done.
 */
export async function recreateTable(world: SoakWorld, table: string): Promise<string> {
  const definitions = await world.sql(
    `select pg_get_constraintdef(oid) as definition, conname as name from pg_constraint
     where conrelid = $1::regclass and contype = 'f'`,
    [table],
  );
  const triggers = await world.sql(
    `select pg_get_triggerdef(oid) as definition, tgname as name, tgenabled as enabled from pg_trigger
     where tgrelid = $1::regclass and not tgisinternal`,
    [table],
  );
  const grants = await world.sql(
    `select grantee, privilege_type as privilege from information_schema.role_table_grants
     where table_name = $1 and grantee <> grantor`,
    [table],
  );
  const [identity] = await world.sql(
    `select before.relname as before from pg_index
     join pg_class as before on before.oid = indexrelid where indrelid = $1::regclass and indisreplident`,
    [table],
  );
  const indexes = await world.sql(
    `select indexrelid::regclass::text as name from pg_index where indrelid = $1::regclass order by indexrelid`,
    [table],
  );
  const session = await world.session();
  try {
    await session.query(`begin; lock table ${table} in access exclusive mode`);
    await session.query(`create table public.soak_copy (like ${table} including all)`);
    await session.query(
      `insert into public.soak_copy overriding system value select * from ${table}`,
    );
    const copied = await session.query<SqlRow>(
      `select indexrelid::regclass::text as name from pg_index where indrelid = 'public.soak_copy'::regclass order by indexrelid`,
    );
    await session.query(
      `select setval(pg_get_serial_sequence('public.soak_copy', 'id'), (select coalesce(max(id), 0) + 1000 from public.soak_copy))`,
    );
    await session.query(`drop table ${table}`);
    await session.query(`alter table public.soak_copy rename to ${table}`);
    for (const [at, row] of copied.rows.entries())
      await session.query(
        `alter index public.${text(row, 'name')} rename to ${text(indexes[at], 'name')}`,
      );
    for (const row of definitions)
      await session.query(
        `alter table ${table} add constraint ${text(row, 'name')} ${text(row, 'definition')}`,
      );
    for (const row of triggers) {
      await session.query(text(row, 'definition'));
      if (row['enabled'] === 'A')
        await session.query(`alter table ${table} enable always trigger ${text(row, 'name')}`);
    }
    for (const row of grants)
      await session.query(`grant ${text(row, 'privilege')} on ${table} to ${text(row, 'grantee')}`);
    await session.query('commit');
    return `${table} was dropped and made anew with ${indexes.length} indexes (identity ${text(identity, 'before')}), ${definitions.length} references and ${triggers.length} triggers`;
  } finally {
    await session.end();
  }
}

function text(row: SqlRow | undefined, name: string): string {
  const value = row?.[name];
  return typeof value === 'string' ? value : '';
}
