import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import pg from 'pg';
import { createLog } from '../../platform/log.ts';
import type { Log } from '../../platform/log.ts';
import { eventually } from './eventually.ts';

export type TestDatabase = {
  readonly name: string;
  /** A login in role clarin_api: what the API may do and no more. */
  readonly url: string;
  /** Superuser. */
  readonly ownerUrl: string;
  /** A login with REPLICATION in role clarin_replicator. */
  readonly replicationUrl: string;
  /** Ends every session, drops the slots left behind and the database. */
  drop(): Promise<void>;
};

const LOGINS = [
  { login: 'clarin_test_api', group: 'clarin_api', options: '' },
  { login: 'clarin_test_ingest', group: 'clarin_ingest', options: '' },
  { login: 'clarin_test_replicator', group: 'clarin_replicator', options: 'replication' },
] as const;

const PASSWORD = 'clarin-test';

/** A database with all migrations applied that nobody connects to: others are cloned from it. */
export async function prepareTemplate(maintenanceUrl: string): Promise<string> {
  const name = `clarin_template_${randomBytes(4).toString('hex')}`;
  await run(maintenanceUrl, `create database ${name}`);
  await migrateTemplate(withDatabase(maintenanceUrl, name));
  for (const { login, group, options } of LOGINS) {
    await run(
      maintenanceUrl,
      `do $$ begin
         if exists (select from pg_roles where rolname = '${group}')
            and not exists (select from pg_roles where rolname = '${login}') then
           create role ${login} login ${options} password '${PASSWORD}' in role ${group};
         end if;
       exception when duplicate_object or unique_violation then null;
       end $$`,
    );
  }
  return name;
}

type Migrate = (options: { url: string; log: Log; publication: string }) => Promise<unknown>;

async function migrateTemplate(url: string): Promise<void> {
  const file = new URL('../../migrations/run.ts', import.meta.url);
  if (!existsSync(file)) return;
  const { migrate } = (await import(file.href)) as { migrate: Migrate };
  await migrate({
    url,
    log: createLog({ component: 'migrate', level: 'warn' }),
    publication: 'clarin',
  });
}

export async function cloneDatabase(
  maintenanceUrl: string,
  template: string,
): Promise<TestDatabase> {
  const name = `${clonePrefix(template)}${randomBytes(4).toString('hex')}`;
  // Two clones at once of one template are refused while the other one reads it.
  await eventually(() => run(maintenanceUrl, `create database ${name} template ${template}`), {
    says: 'the template database can be cloned',
    timeoutMs: 30_000,
  });
  const rows = await run(
    maintenanceUrl,
    `select rolname from pg_roles where rolname like 'clarin_test_%'`,
  );
  const logins = new Set(rows.map((row) => row['rolname']));
  const ownerUrl = withDatabase(maintenanceUrl, name);
  const as = (login: string): string => (logins.has(login) ? withLogin(ownerUrl, login) : ownerUrl);
  return {
    name,
    ownerUrl,
    url: as('clarin_test_api'),
    replicationUrl: as('clarin_test_replicator'),
    drop: () => dropDatabase(maintenanceUrl, name),
  };
}

/** Clones bear their template's number, so that a run can tell its own from another's. */
function clonePrefix(template: string): string {
  return template.replace('clarin_template_', 'clarin_test_') + '_';
}

/** The template and every clone that is still there: a given Postgres is left as it was found. */
export async function dropTemplate(maintenanceUrl: string, template: string): Promise<void> {
  const rows = await run(
    maintenanceUrl,
    `select datname from pg_database
     where datname = '${template}' or starts_with(datname, '${clonePrefix(template)}')`,
  );
  for (const row of rows) await dropDatabase(maintenanceUrl, String(row['datname']));
}

async function dropDatabase(maintenanceUrl: string, name: string): Promise<void> {
  await run(
    maintenanceUrl,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}' and pid <> pg_backend_pid()`,
  );
  // A terminated walsender needs a moment to let go of its slot.
  await eventually(
    () =>
      run(
        maintenanceUrl,
        `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '${name}'`,
      ),
    { says: 'the slots of the database can be dropped' },
  );
  await run(maintenanceUrl, `drop database if exists ${name} with (force)`);
}

function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

function withLogin(url: string, login: string): string {
  const changed = new URL(url);
  changed.username = login;
  changed.password = PASSWORD;
  return changed.href;
}

async function run(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const result = await client.query<Record<string, unknown>>(statement);
    return result.rows;
  } finally {
    await client.end();
  }
}
