import { ClarinError } from '../domain/errors.ts';
import type { Database } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';

/** Host and port of a URL, or of several, comma-separated: it may hold a password, and nobody wants to read one in a log. */
export function hostOf(url: string): string {
  const hosts = url
    .split(',')
    .map((one) => (URL.canParse(one) ? new URL(one).host : 'an address that is no URL'));
  return hosts.join(', ');
}

/** @throws ClarinError `configuration` when Postgres is not reachable or has no schema of ours, with what to do. */
export async function assertDatabaseFits(database: Database, url: string): Promise<void> {
  const rows = await database
    .query(sql`select to_regclass('public.sessions') is not null as has_schema`)
    .catch((error: unknown) => {
      throw new ClarinError(
        'configuration',
        `Postgres at ${hostOf(url)} is not reachable with this name and password: start it, or correct DATABASE_URL.`,
        { cause: error },
      );
    });
  if (rows[0]?.['has_schema'] !== 't') {
    throw new ClarinError(
      'configuration',
      'the database has no Clarin schema yet: run `clarin migrate` first.',
    );
  }
}
