import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contacts } from '../../../domain/entities/contacts.ts';
import { leads } from '../../../domain/entities/leads.ts';
import { roles } from '../../../domain/entities/roles.ts';
import { tags } from '../../../domain/entities/tags.ts';
import { accounts } from '../../../domain/entities/accounts.ts';
import {
  deleteEntity,
  insertEntity,
  readEntity,
  updateEntity,
} from '../../../platform/entity-sql.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../../support/account-fixture.ts';
import { createTestDatabase, type TestDatabase } from '../../support/services.ts';

let database: TestDatabase;
let db: Database;
let owner: Database;
let account: AccountFixture;
let accountId: number;
const open = (url: string): Database =>
  createDatabase({
    url,
    applicationName: 'test',
    max: 4,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });

beforeAll(async () => {
  database = await createTestDatabase();
  db = open(database.url);
  owner = open(database.ownerUrl);
  account = await createAccount(db, 'ours');
  accountId = account.accountId;
});

afterAll(async () => {
  await db.close();
  await owner.close();
  await database.drop();
});

describe('insertEntity', () => {
  it('answers the row as it is read, with what triggers and defaults made of it', async () => {
    const values = {
      contact_id: account.contactIds[0],
      title: 'Ümlaut "quoted" \\ 🙂',
      value: 12.5,
      custom_fields: { b: [1, null], a: 'x' },
    };
    const { value: written } = await db.transaction((tx) =>
      insertEntity(tx, leads, { accountId, values }),
    );
    expect(written.json).toBe(await readEntity(db, leads, { accountId, id: written.id }));
    const row = JSON.parse(written.json) as Record<string, unknown>;
    expect(row).toMatchObject({
      title: values.title,
      value: 12.5,
      currency: 'USD',
      status: 'open',
      custom_fields: values.custom_fields,
      tags: [],
    });
    expect(row).not.toHaveProperty('notes');
    expect(written.etag).toBe(row['updated_at']);
    expect(written.json).toContain('"value":12.50,');
  });

  it('takes arrays and leaves out undefined', async () => {
    const values = {
      name: 'Role, with "quotes"',
      permissions: ['leads', 'contacts'],
      created_at: undefined,
    };
    const { value: written } = await db.transaction((tx) =>
      insertEntity(tx, roles, { accountId, values }),
    );
    expect(JSON.parse(written.json)).toMatchObject({
      name: values.name,
      permissions: ['leads', 'contacts'],
    });
  });

  it('refuses a value that is taken', async () => {
    const insert = () => insertEntity(db, tags, { accountId, values: { name: 'Taken' } });
    await insert();
    await expect(insert()).rejects.toMatchObject({
      code: 'conflict',
      details: { constraint: 'tags_unique_name' },
    });
  });
});

describe('updateEntity', () => {
  const newContact = async (values: Record<string, unknown> = {}) =>
    insertEntity(db, contacts, {
      accountId,
      values: { name: 'Somebody', notes: 'kept', ...values },
    });

  it('touches only what is sent, and null clears', async () => {
    const { id, etag } = await newContact({ email: 'a@example.com' });
    const updated = await updateEntity(db, contacts, {
      accountId,
      id,
      values: { name: 'Other', email: null },
    });
    const row = JSON.parse(updated?.json ?? '') as Record<string, unknown>;
    expect(row).toMatchObject({ name: 'Other', display_name: 'Other', notes: 'kept' });
    expect(row).not.toHaveProperty('email');
    expect(updated?.changed).toBe(true);
    expect((updated?.etag ?? '') > etag).toBe(true);
  });

  it('writes no row when nothing differs, and still answers', async () => {
    const { id, etag } = await newContact({ custom_fields: { a: 1, b: { c: [] } } });
    const leadId = account.leadIds[0] ?? 0;
    await db.query(sql`update public.leads set value = 1.23 where id = ${leadId}`);
    const slot = `writes_${database.name}`;
    await owner.query(sql`select pg_create_logical_replication_slot(${slot}, 'test_decoding')`);
    const same = {
      name: 'Somebody',
      email: null,
      notes: 'kept',
      is_group: false,
      custom_fields: { b: { c: [] }, a: 1 },
    };
    const answer = await updateEntity(db, contacts, { accountId, id, values: same });
    expect(answer).toMatchObject({ id, etag, changed: false });
    // Stored as 1.23: what would be stored is compared, not what was sent.
    expect(
      await updateEntity(db, leads, { accountId, id: leadId, values: { value: 1.234 } }),
    ).toMatchObject({ changed: false });
    expect(
      await updateEntity(db, contacts, { accountId, id, values: { name: 'Now' } }),
    ).toMatchObject({ changed: true });
    const changes = await owner.query(
      sql`select data from pg_logical_slot_get_changes(${slot}, null, null) where data like 'table %'`,
    );
    await owner.query(sql`select pg_drop_replication_slot(${slot})`);
    expect(changes).toHaveLength(1);
    expect(changes[0]?.['data']).toContain("name[text]:'Now'");
  });

  it('refuses a version that is no longer current, even when nothing would change', async () => {
    const { id, etag } = await newContact();
    const first = await updateEntity(db, contacts, {
      accountId,
      id,
      values: { name: 'First' },
      ifMatch: etag,
    });
    const again = (values: Record<string, unknown>, ifMatch: string) =>
      updateEntity(db, contacts, { accountId, id, values, ifMatch });
    await expect(again({ name: 'Second' }, etag)).rejects.toMatchObject({
      code: 'precondition_failed',
    });
    await expect(again({ name: 'First' }, etag)).rejects.toMatchObject({
      code: 'precondition_failed',
    });
    await expect(again({ name: 'First' }, 'nonsense')).rejects.toMatchObject({
      code: 'precondition_failed',
    });
    expect(await again({ name: 'First' }, first?.etag ?? '')).toMatchObject({ changed: false });
    expect(await again({ name: 'Second' }, first?.etag ?? '')).toMatchObject({ changed: true });
  });

  it('lets one of two writers with the same version through', async () => {
    const { id, etag } = await newContact();
    const results = await Promise.allSettled(
      ['One', 'Two', 'Three'].map((name) =>
        db.transaction((tx) =>
          updateEntity(tx, contacts, { accountId, id, values: { name }, ifMatch: etag }),
        ),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('answers what is there after whoever it waited for', async () => {
    const { id } = await newContact();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const blocker = db.transaction(async (tx) => {
      await updateEntity(tx, contacts, {
        accountId,
        id,
        values: { name: 'Same', company: 'Theirs' },
      });
      release();
      await tx.query(sql`select pg_sleep(0.2)`);
    });
    await held;
    const late = await db.transaction((tx) =>
      updateEntity(tx, contacts, { accountId, id, values: { name: 'Same' } }),
    );
    await blocker;
    expect(late.value?.changed).toBe(false);
    expect(JSON.parse(late.value?.json ?? '')).toMatchObject({ name: 'Same', company: 'Theirs' });
  });

  it('leaves out columns whose permission the caller lacks', async () => {
    const values = { name: 'Renamed' };
    const all = await updateEntity(db, accounts, { accountId, id: accountId, values });
    expect(JSON.parse(all?.json ?? '')).toHaveProperty('settings');
    const some = await readEntity(db, accounts, {
      accountId,
      id: accountId,
      sees: (permission) => permission !== 'settings',
    });
    expect(JSON.parse(some ?? '')).not.toHaveProperty('settings');
  });
});

describe('deleteEntity', () => {
  it('deletes the version that was seen, once', async () => {
    const { id, etag } = await insertEntity(db, tags, {
      accountId,
      values: { name: 'Short-lived' },
    });
    await expect(
      deleteEntity(db, tags, { accountId, id, ifMatch: '2020-01-01T00:00:00.000000Z' }),
    ).rejects.toMatchObject({ code: 'precondition_failed' });
    expect(await deleteEntity(db, tags, { accountId, id, ifMatch: etag })).toBe(true);
    expect(await deleteEntity(db, tags, { accountId, id })).toBe(false);
    expect(await deleteEntity(db, tags, { accountId, id, ifMatch: etag })).toBe(false);
  });

  it('says that rows still point here', async () => {
    const id = account.contactIds[1] ?? 0;
    await expect(deleteEntity(db, contacts, { accountId, id })).rejects.toMatchObject({
      code: 'conflict',
    });
  });
});
