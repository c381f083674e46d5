import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../migrations/run.ts';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { readPublicationDrift } from '../../platform/publication.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';

const log = createLog({ component: 'migrate', level: 'silent' });
let database: TestDatabase;
let db: Database;
const open = (url: string): Database =>
  createDatabase({ url, applicationName: 'test', max: 2, statementTimeoutMs: 10_000, log });

beforeAll(async () => {
  database = await createTestDatabase();
  db = open(database.ownerUrl);
});

afterAll(async () => {
  await db.close();
  await database.drop();
});

/** Sentences while `changes` are made, in a transaction that is rolled back. */
async function driftAfter(...changes: Sql[]): Promise<string[]> {
  const rolledBack = new Error('rolled back on purpose');
  let says: string[] = [];
  await db
    .transaction(async (tx) => {
      for (const change of changes) await tx.query(change);
      says = await readPublicationDrift(tx, 'clarin');
      throw rolledBack;
    })
    .catch((error: unknown) => {
      if (says.length === 0) throw error;
    });
  return says;
}

describe('readPublicationDrift', () => {
  it('has nothing to say after a migration, to the replicator itself', async () => {
    const replicator = open(database.replicationUrl);
    expect(await readPublicationDrift(replicator, 'clarin')).toEqual([]);
    await replicator.close();
  });

  const index = sql`create unique index other_identity on public.tags (id, account_id)`;
  const cases: [string, string, ...Sql[]][] = [
    ['a missing publication', 'publication clarin is missing', sql`drop publication clarin`],
    [
      'a missing table',
      'tags is not in publication clarin',
      sql`alter publication clarin drop table public.tags`,
    ],
    [
      'an extra table',
      'public.extra is in publication clarin and is no entity',
      sql`create table public.extra (id bigint primary key)`,
      sql`alter publication clarin add table public.extra`,
    ],
    ['a dropped table', 'table lead_tags is missing', sql`drop table public.lead_tags`],
    [
      'missing columns',
      'tags is published with other columns: lacks color',
      sql`alter publication clarin drop table public.tags`,
      sql`alter publication clarin add table public.tags (id, account_id, name, kommo_id, created_at, updated_at)`,
    ],
    [
      'a secret that is published',
      'users is published with other columns: has password_hash, failed_logins, locked_until',
      sql`alter publication clarin drop table public.users`,
      sql`alter publication clarin add table public.users`,
    ],
    [
      'a row filter',
      'tags is published with a row filter',
      sql`alter publication clarin drop table public.tags`,
      sql`alter publication clarin add table public.tags (id, account_id, name, color, kommo_id, created_at, updated_at) where (id > 1)`,
    ],
    [
      'an operation that is not published',
      'publication clarin does not publish delete, truncate',
      sql`alter publication clarin set (publish = 'insert, update')`,
    ],
    [
      'partition roots',
      'publication clarin has publish_via_partition_root on',
      sql`alter publication clarin set (publish_via_partition_root = true)`,
    ],
    [
      'a publication of all tables',
      'publication clarin is for all tables',
      sql`drop publication clarin`,
      sql`create publication clarin for all tables`,
    ],
    [
      'whole schemas',
      'publication clarin holds whole schemas: private',
      sql`drop publication clarin`,
      sql`create publication clarin for tables in schema private`,
    ],
    [
      'replica identity nothing',
      'tags has replica identity nothing',
      sql`alter table public.tags replica identity nothing`,
    ],
    [
      'replica identity full',
      'tags has replica identity full',
      sql`alter table public.tags replica identity full`,
    ],
    [
      'an identity without the account',
      'tags has no account_id in its replica identity: its deletes could not be given to an account',
      sql`alter table public.tags replica identity default`,
    ],
    [
      'another identity index',
      'tags has replica identity other_identity instead of tags_identity',
      index,
      sql`alter table public.tags replica identity using index other_identity`,
    ],
    [
      'an identity index of other columns',
      'lead_tags has a replica identity of other columns: lacks lead_id, tag_id',
      sql`alter table public.lead_tags drop constraint lead_tags_identity`,
      sql`create unique index lead_tags_identity on public.lead_tags (account_id, id)`,
      sql`alter table public.lead_tags replica identity using index lead_tags_identity`,
    ],
    [
      'a missing trigger',
      'leads has no trigger zz_announce_was',
      sql`drop trigger zz_announce_was on public.leads`,
    ],
    [
      'a disabled trigger',
      'trigger touch of leads is not enabled always',
      sql`alter table public.leads disable trigger touch`,
    ],
    [
      'a trigger that sleeps in replicating sessions',
      'trigger revoke_sessions of users is not enabled always',
      sql`alter table public.users enable trigger revoke_sessions`,
    ],
    [
      'a trigger that announces other columns',
      'trigger zz_announce_was_delete of lead_tags announces other columns: lacks lead_id; has tag_id',
      sql`drop trigger zz_announce_was_delete on public.lead_tags`,
      sql`create trigger zz_announce_was_delete before delete on public.lead_tags for each row execute function clarin.announce_was('tag_id')`,
    ],
    [
      'another type',
      'users.failed_logins is bigint and is declared as integer',
      sql`alter table public.users alter column failed_logins type bigint`,
    ],
    [
      'a column that may be null',
      'tags.color may be null and is declared not null',
      sql`alter table public.tags alter column color drop not null`,
    ],
    [
      'a column that may not be null',
      'tags.kommo_id is not null and is declared nullable',
      sql`alter table public.tags alter column kommo_id set not null`,
    ],
    [
      'a column with another name',
      'users.locked_until is missing',
      sql`alter table public.users rename column locked_until to locked_till`,
    ],
    [
      'an unlogged table',
      'lead_tags is not a plain logged table',
      sql`alter publication clarin drop table public.lead_tags`,
      sql`alter table public.lead_tags set unlogged`,
    ],
  ];

  it.each(cases)('names %s', async (_title, sentence, ...changes) => {
    expect(await driftAfter(...changes)).toContain(sentence);
  });
});

describe('migrate', () => {
  it('repairs a publication and identities that were altered by hand', async () => {
    await db.query(sql`create table public.extra (id bigint primary key)`);
    await db.query(
      sql`alter publication clarin set table public.extra, public.users, public.leads where (id > 1)`,
    );
    await db.query(sql`alter publication clarin set (publish = 'insert')`);
    await db.query(sql`alter table public.leads replica identity full`);
    await db.query(sql`alter table public.accounts replica identity nothing`);
    expect((await readPublicationDrift(db, 'clarin')).length).toBeGreaterThan(10);
    await migrate({ url: database.ownerUrl, log, publication: 'clarin' });
    expect(await readPublicationDrift(db, 'clarin')).toEqual([]);
  });

  it('adds a table under a lock that waits for whoever is writing to it', async () => {
    await db.query(sql`alter publication clarin drop table public.tags`);
    const waiting = await db.transaction(async (tx) => {
      await tx.query(sql`insert into public.accounts (name, slug) values ('x', 'locked')`);
      await tx.query(
        sql`insert into public.tags (account_id, name) select id, 'x' from public.accounts where slug = 'locked'`,
      );
      // Gives up after its lock_timeout, and changes nothing: a transaction that wrote before must be over.
      await expect(migrate({ url: database.ownerUrl, log, publication: 'clarin' })).rejects.toThrow(
        'lock timeout',
      );
      return true;
    });
    expect(waiting.value).toBe(true);
    await migrate({ url: database.ownerUrl, log, publication: 'clarin' });
    expect(await readPublicationDrift(db, 'clarin')).toEqual([]);
  });

  it('says what to do with a publication that cannot be altered', async () => {
    await db.query(sql`create publication everything for all tables`);
    await expect(
      migrate({ url: database.ownerUrl, log, publication: 'everything' }),
    ).rejects.toThrow('Drop it');
  });
});
