import { ClarinError } from '../domain/errors.ts';
import type { Queries } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';

/**
 * Resolves with the database's name. @throws ClarinError `configuration` when this server or this role cannot replicate.
 * https://www.postgresql.org/docs/current/logicaldecoding-example.html
 */
export async function assertPostgresFits(db: Queries): Promise<string> {
  const [row] = await db.query(sql`
    select current_setting('wal_level') as wal_level, current_database() as name, current_user as role_name,
           (select roles.rolreplication or roles.rolsuper from pg_roles as roles
            where roles.rolname = current_user) as may_replicate,
           pg_is_in_recovery() as is_standby`);
  const fail = (sentence: string): never => {
    throw new ClarinError('configuration', sentence);
  };
  if (row?.['is_standby'] === 't')
    fail('Postgres is a standby: point REPLICATION_DATABASE_URL at the primary.');
  if (row?.['wal_level'] !== 'logical') {
    fail(
      `Postgres has wal_level = ${row?.['wal_level']}: set \`wal_level = logical\` and restart it.`,
    );
  }
  if (row?.['may_replicate'] !== 't') {
    fail(
      `Role ${row?.['role_name']} may not replicate: \`alter role ${row?.['role_name']} replication\`.`,
    );
  }
  return row?.['name'] ?? '';
}
