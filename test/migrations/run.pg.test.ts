import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { choosePending, migrate } from '../../migrations/run.ts';
import { seedDemo } from '../../migrations/seed.ts';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { readPublicationDrift } from '../../platform/publication.ts';
import { ident, sql } from '../../platform/sql.ts';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';

const log = createLog({ component: 'migrate', level: 'silent' });
const publication = 'clarin';

describe('migrate', () => {
  let outer: TestDatabase;
  let admin: Database;
  let url: string;
  let db: Database;
  let directory: string;
  const name = `clarin_empty_${process.pid}`;

  const open = (to: string): Database =>
    createDatabase({ url: to, applicationName: 'test', max: 2, statementTimeoutMs: 10_000, log });

  beforeAll(async () => {
    outer = await createTestDatabase();
    admin = open(outer.ownerUrl);
    await admin.query(sql`create database ${ident(name)} template template0`);
    const empty = new URL(outer.ownerUrl);
    empty.pathname = `/${name}`;
    url = empty.href;
    db = open(url);
    directory = await mkdtemp(join(tmpdir(), 'clarin-migrations-'));
    await cp(fileURLToPath(new URL('../../migrations', import.meta.url)), directory, {
      recursive: true,
    });
  });

  afterAll(async () => {
    await db.close();
    await admin.query(sql`drop database ${ident(name)} with (force)`);
    await admin.close();
    await outer.drop();
    await rm(directory, { recursive: true, force: true });
  });

  it('makes everything in an empty database, each migration once, when several run at the same time', async () => {
    const runs = await Promise.all([1, 2, 3].map(() => migrate({ url, log, publication })));
    const applied = runs.flatMap((run) => run.applied);
    expect(new Set(applied).size).toBe(applied.length);
    expect(applied.length).toBeGreaterThan(3);
    expect(await readPublicationDrift(db, publication)).toEqual([]);
  });

  it('changes nothing and writes no WAL of its own when nothing differs', async () => {
    const before = await db.query(
      sql`select oid::text, xmin::text, relreplident from pg_class where relnamespace = 'public'::regnamespace`,
    );
    const members = await db.query(sql`select oid::text, xmin::text from pg_publication_rel`);
    expect(await migrate({ url, log, publication })).toEqual({ applied: [] });
    expect(
      await db.query(
        sql`select oid::text, xmin::text, relreplident from pg_class where relnamespace = 'public'::regnamespace`,
      ),
    ).toEqual(before);
    expect(await db.query(sql`select oid::text, xmin::text from pg_publication_rel`)).toEqual(
      members,
    );
  });

  it('applies a new file once and refuses it when it is edited afterwards', async () => {
    const file = join(directory, '999990_example.sql');
    await writeFile(
      file,
      '-- Not breaking. Locks: none.\ncreate table clarin.example (id bigint);\n',
    );
    expect(await migrate({ url, log, publication, directory })).toEqual({
      applied: ['999990_example.sql'],
    });
    expect(await migrate({ url, log, publication, directory })).toEqual({ applied: [] });
    await writeFile(
      file,
      '-- Not breaking. Locks: none.\ncreate table clarin.other (id bigint);\n',
    );
    await expect(migrate({ url, log, publication, directory })).rejects.toThrow(
      '999990_example.sql was edited after it had been applied',
    );
  });

  it('refuses a database that is newer than the program', async () => {
    await expect(migrate({ url, log, publication })).rejects.toThrow(
      'The database is newer than this program',
    );
    await db.query(sql`delete from clarin.schema_migrations where name = '999990_example.sql'`);
    await db.query(sql`drop table clarin.example`);
    await rm(join(directory, '999990_example.sql'));
  });

  it('keeps nothing of a file that fails and says why', async () => {
    const file = join(directory, '999991_wrong.sql');
    await writeFile(file, 'create table clarin.half (id bigint);\nselect 1 / 0;\n');
    await expect(migrate({ url, log, publication, directory })).rejects.toThrow('division by zero');
    const [row] = await db.query(sql`select to_regclass('clarin.half') as half`);
    expect(row?.['half']).toBeNull();
    await rm(file);
  });

  it('seeds the demo account once', async () => {
    const first = await seedDemo({ url, log });
    const [counted] = await db.query(
      sql`select count(*) as leads from public.leads where account_id = ${first.accountId}`,
    );
    expect(await seedDemo({ url, log })).toEqual(first);
    expect(await db.query(sql`select count(*) as leads from public.leads`)).toEqual([counted]);
    expect(counted?.['leads']).toBe('40');
  });
});

describe('choosePending', () => {
  const migration = (title: string) => ({ name: title, text: '', checksum: `sum of ${title}` });

  it('gives what is not applied, in order', () => {
    const ours = ['000001_a.sql', '000002_b.sql', '000003_c.sql'].map(migration);
    const applied = [migration('000001_a.sql'), migration('000003_c.sql')];
    expect(choosePending(ours, applied).map((one) => one.name)).toEqual(['000002_b.sql']);
  });

  it('refuses what was applied and is not here, or is different here', () => {
    expect(() => choosePending([], [migration('000001_a.sql')])).toThrow('newer than this program');
    expect(() =>
      choosePending([migration('000001_a.sql')], [{ name: '000001_a.sql', checksum: 'x' }]),
    ).toThrow('was edited');
  });
});
