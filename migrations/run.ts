import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { ClarinError } from '../domain/errors.ts';
import type { Log } from '../platform/log.ts';
import { connectClient, queryClient, type Queries } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';
import { translateError } from '../platform/sqlstate.ts';
import { syncPublication } from './sync-publication.ts';

/** One numbered file. Immutable once merged: its checksum is kept with it. */
export type Migration = { readonly name: string; readonly text: string; readonly checksum: string };

type Options = {
  /** As the owner of the schema. */
  url: string;
  log: Log;
  publication: string;
  /** Where the numbered files are; absent: beside this one. */
  directory?: string;
};

/** Any two numbers nobody else uses: one migration at a time per database. */
const LOCK = { class: 0x636c6172, key: 1 } as const;
/** Another migration is waited for this long. */
const TURN_TIMEOUT = '10min';
/** A lock on a table is waited for this long: everything that comes behind us waits too. */
const LOCK_TIMEOUT = '5s';

/**
 * Brings the schema up to date, each file in its own transaction, then the publication and the replica identities
 * to what the declarations say. Safe to run at any time and by several at once; does nothing when nothing differs.
 * @throws ClarinError `configuration` when an applied file was edited or the database is newer than this program.
 */
export async function migrate(options: Options): Promise<{ applied: string[] }> {
  const migrations = await readMigrations(options.directory);
  const client = await connectClient({ url: options.url, applicationName: 'clarin migrate' });
  const db: Queries = { query: (statement) => queryClient(client, statement) };
  try {
    await db.query(sql`select set_config('lock_timeout', ${TURN_TIMEOUT}, false)`);
    await db.query(sql`select pg_advisory_lock(${LOCK.class}, ${LOCK.key})`);
    await db.query(sql`select set_config('lock_timeout', ${LOCK_TIMEOUT}, false)`);
    const applied: string[] = [];
    for (const migration of await readPending(db, migrations)) {
      await apply(client, db, migration);
      options.log.info({ migration: migration.name }, 'migration applied');
      applied.push(migration.name);
    }
    const changes = await syncPublication(client, options.publication);
    if (changes.length > 0)
      options.log.info({ publication: options.publication, changes }, 'publication changed');
    return { applied };
  } catch (error) {
    throw error instanceof ClarinError ? error : saying(error);
  } finally {
    // Ends the session and with it the lock.
    await client.end();
  }
}

/** The operator needs Postgres' own words, which translateError keeps from clients. */
function saying(error: unknown): ClarinError {
  const reason = error instanceof Error ? error.message : String(error);
  return new ClarinError(translateError(error).code, `migrating failed: ${reason}`, {
    cause: error,
  });
}

async function readMigrations(given: string | undefined): Promise<Migration[]> {
  const directory = given ?? (await findDirectory());
  const names = (await readdir(directory))
    .filter((name) => /^\d{6}_[a-z0-9_]+\.sql$/.test(name))
    .toSorted();
  return Promise.all(
    names.map(async (name) => {
      const text = (await readFile(`${directory}/${name}`, 'utf8')).replaceAll('\r\n', '\n');
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') };
    }),
  );
}

/** Beside this file; the compiled one stands in dist/ and the SQL may have stayed in the source tree. */
async function findDirectory(): Promise<string> {
  const candidates = ['.', '../../migrations'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  for (const directory of candidates) {
    const names = await readdir(directory).catch(() => []);
    if (names.some((name) => name.endsWith('.sql'))) return directory;
  }
  throw new ClarinError('configuration', `there are no migrations in ${candidates.join(' or ')}`);
}

async function readPending(db: Queries, migrations: readonly Migration[]): Promise<Migration[]> {
  await db.query(sql`set client_min_messages = warning`);
  await db.query(sql`create schema if not exists clarin`);
  await db.query(sql`
    create table if not exists clarin.schema_migrations (
      name text primary key,
      checksum text not null,
      applied_at timestamptz not null default now()
    )`);
  await db.query(sql`reset client_min_messages`);
  const rows = await db.query(sql`select name, checksum from clarin.schema_migrations`);
  return choosePending(
    migrations,
    rows.map((row) => ({ name: row['name'] ?? '', checksum: row['checksum'] ?? '' })),
  );
}

/**
 * What is still to do.
 * @throws ClarinError `configuration` when what was applied is not what we have.
 */
export function choosePending(
  migrations: readonly Migration[],
  applied: readonly { name: string; checksum: string }[],
): Migration[] {
  const ours = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const { name, checksum } of applied) {
    const known = ours.get(name);
    if (!known) {
      throw new ClarinError(
        'configuration',
        `The database is newer than this program: it has migration ${name}. Run the newer program.`,
      );
    }
    if (known.checksum !== checksum) {
      throw new ClarinError(
        'configuration',
        `Migration ${name} was edited after it had been applied. Restore the file and put the change into a new one.`,
      );
    }
  }
  const done = new Set(applied.map(({ name }) => name));
  return migrations.filter(({ name }) => !done.has(name));
}

async function apply(client: pg.Client, db: Queries, migration: Migration): Promise<void> {
  try {
    await client.query('begin');
    // The file's own text, several statements: the one place where SQL does not come from a template.
    await client.query(migration.text);
    await db.query(sql`
      insert into clarin.schema_migrations (name, checksum)
      values (${migration.name}, ${migration.checksum})`);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    const reason = error instanceof Error ? error.message : String(error);
    throw new ClarinError(
      'configuration',
      `Migration ${migration.name} failed, nothing of it was kept: ${reason}`,
      {
        cause: error,
      },
    );
  }
}
