import type { Queries } from '../../platform/postgres.ts';
import { ident, sql, type Sql } from '../../platform/sql.ts';

/**
 * Runs `work` while the tables have only the indexes of their constraints, and makes the others again: building an
 * index once is many times faster than adding two million entries to it.
 */
export async function withoutIndexes(
  db: Queries,
  tables: readonly string[],
  work: () => Promise<void>,
): Promise<void> {
  const rows = await db.query(sql`
    select class.relname as name, pg_get_indexdef(index.indexrelid) as definition
    from pg_index as index
    join pg_class as class on class.oid = index.indexrelid
    join pg_class as owner on owner.oid = index.indrelid
    where owner.relnamespace = 'public'::regnamespace and owner.relname = any(${[...tables]})
      and not exists (select from pg_constraint where conindid = index.indexrelid)
    order by class.relname`);
  for (const row of rows)
    await db.query(sql`drop index ${ident('public')}.${ident(row['name'] ?? '')}`);
  await work();
  for (const row of rows) await db.query(asStatement(row['definition'] ?? ''));
  for (const table of tables) await db.query(sql`analyze ${ident('public')}.${ident(table)}`);
}

/** What Postgres itself printed a moment ago. */
function asStatement(definition: string): Sql {
  return sql(Object.assign([definition], { raw: [definition] }));
}
