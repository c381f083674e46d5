import { afterAll, beforeAll, expect, it } from 'vitest';
import { MESSAGE_WAS } from '../../domain/change.ts';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';

let database: TestDatabase;
let db: Database;
let account: AccountFixture;
let slot: string;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'test',
    max: 2,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'migrate', level: 'silent' }),
  });
  account = await createAccount(db, 'ours');
  slot = `was_${database.name}`;
  await db.query(sql`select pg_create_logical_replication_slot(${slot}, 'test_decoding')`);
});

afterAll(async () => {
  await db.close();
  await database.drop();
});

/** What a statement puts into the write-ahead log, between begin and commit. */
async function logged(statement: Sql): Promise<string[]> {
  await db.query(sql`select pg_logical_slot_get_changes(${slot}, null, null)`);
  await db.query(statement);
  const rows = await db.query(
    sql`select data from pg_logical_slot_get_changes(${slot}, null, null, 'skip-empty-xacts', '1')`,
  );
  return rows.map((row) => row['data'] ?? '').filter((data) => !/^(BEGIN|COMMIT)/.test(data));
}

function message(data: string | undefined): unknown {
  expect(data).toContain(`transactional: 1 prefix: ${MESSAGE_WAS}`);
  return JSON.parse(/content:(.*)$/s.exec(data ?? '')?.[1] ?? '');
}

it('says what the filter columns were, before the row leaves them', async () => {
  const [leadId] = account.leadIds;
  const [first] = await db.query(
    sql`select pipeline_id, stage_id, assigned_to, contact_id from public.leads where id = ${leadId}`,
  );
  const [was, update, ...more] = await logged(
    sql`update public.leads set stage_id = ${account.stages.won} where id = ${leadId}`,
  );
  expect(message(was)).toEqual({ t: 'leads', a: account.accountId, id: leadId, v: first });
  expect(update).toContain('table public.leads: UPDATE:');
  expect(more).toEqual([]);
});

it('says nothing when no filter column changes', async () => {
  const changes = await logged(
    sql`update public.leads set title = 'Other' where id = ${account.leadIds[0]}`,
  );
  expect(changes).toHaveLength(1);
  expect(changes[0]).toContain('table public.leads: UPDATE:');
});

it('says it when a row is deleted, for rows deleted by a cascade too', async () => {
  const [leadId] = account.leadIds;
  const changes = await logged(sql`delete from public.leads where id = ${leadId}`);
  const [was, gone, ...links] = changes;
  expect(message(was)).toMatchObject({
    t: 'leads',
    id: leadId,
    v: { contact_id: expect.any(String) as string },
  });
  expect(gone).toContain(
    `DELETE: account_id[bigint]:${account.accountId} id[bigint]:${leadId}`.split(' ')[0],
  );
  expect(links.filter((data) => data.includes(MESSAGE_WAS)).map(message)).toContainEqual(
    expect.objectContaining({ t: 'lead_tags', v: { lead_id: String(leadId) } }),
  );
});

it('says it when a row moves to another account', async () => {
  const other = await createAccount(db, 'theirs');
  const [row] = await db.query(sql`
    insert into public.contacts (account_id, name) values (${account.accountId}, 'Mover') returning id`);
  await db.query(
    sql`insert into public.leads (account_id, contact_id, title) values (${account.accountId}, ${row?.['id']}, 'Mover')`,
  );
  const changes = await logged(sql`
    update public.leads
    set account_id = ${other.accountId}, contact_id = ${other.contactIds[0]}, stage_id = ${other.stages.won}
    where contact_id = ${row?.['id']}`);
  expect(message(changes[0])).toMatchObject({
    a: account.accountId,
    v: { contact_id: row?.['id'], assigned_to: null },
  });
  // The old account is in the replica identity, which an UPDATE carries when it changes.
  expect(changes[1]).toMatch(
    new RegExp(`old-key: .*account_id\\[bigint\\]:${account.accountId} .*new-tuple:`),
  );
});

it('says it in a session that replicates', async () => {
  const changes = await logged(sql`
    with mode as materialized (select set_config('session_replication_role', 'replica', false))
    update public.leads set stage_id = ${account.stages.lost} from mode where id = ${account.leadIds[1]}`);
  await db.query(sql`reset session_replication_role`);
  expect(message(changes[0])).toMatchObject({ t: 'leads', id: account.leadIds[1] });
});

it('leaves a large unchanged value out of the log: triggers do not write it again', async () => {
  const text = Array.from({ length: 9_000 }, (_, index) =>
    String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000)),
  ).join('');
  await db.query(sql`update public.leads set notes = ${text} where id = ${account.leadIds[2]}`);
  const [update] = await logged(
    sql`update public.leads set value = 3 where id = ${account.leadIds[2]}`,
  );
  expect(update).toContain('notes[text]:unchanged-toast-datum');
});
