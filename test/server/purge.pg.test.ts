import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { PURGES, purgeTable, startPurge } from '../../server/ingest/purge.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { createTestDatabase, eventually, type TestDatabase } from '../support/services.ts';

let db: TestDatabase;
let owner: Database;
let ingest: Database;
let one: AccountFixture;
const log = createLog({ component: 'ingest', level: 'silent' });

beforeAll(async () => {
  db = await createTestDatabase();
  const connect = (url: string) =>
    createDatabase({ url, applicationName: 'test', max: 4, statementTimeoutMs: 10_000, log });
  owner = connect(db.ownerUrl);
  const url = new URL(db.url);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  ingest = connect(url.href);
  one = await createAccount(owner, 'one');
});

afterAll(async () => {
  await Promise.all([owner.close(), ingest.close()]);
  await db.drop();
});

const means = () => ({ database: ingest, log, metrics: createMetrics('test') });

async function count(schema: string, table: string): Promise<number> {
  const rows = await owner.query(sql`select count(*) as n from ${ident(schema)}.${ident(table)}`);
  return Number(rows[0]?.['n']);
}

async function fill(): Promise<void> {
  await owner.query(sql`
    insert into private.idempotency_keys (account_id, user_id, key, request_hash, created_at)
    select ${one.accountId}, ${one.userId}, 'key ' || n || random(), 'x', now() - n * interval '10 hours'
    from generate_series(1, 1200) as n`);
  await owner.query(sql`
    with session as (
      insert into public.sessions (account_id, user_id, expires_at, revoked_at)
      values
        (${one.accountId}, ${one.userId}, now() - interval '31 days', null),
        (${one.accountId}, ${one.userId}, now() + interval '1 day', now() - interval '31 days'),
        (${one.accountId}, ${one.userId}, now() - interval '29 days', null)
      returning id, account_id
    )
    insert into private.refresh_tokens (account_id, session_id, token_hash, expires_at)
    select account_id, id, decode(md5(random()::text), 'hex'), now() + n * interval '1 hour'
    from session cross join generate_series(-1, 1, 2) as n`);
  await owner.query(sql`
    update public.device_pairings set expires_at = now() - interval '2 days' where account_id = ${one.accountId}`);
  await owner.query(sql`
    insert into public.messages (account_id, chat_id, device_id, body, is_from_me, client_id)
    values
      (${one.accountId}, ${one.chatIds[0]}, 999999, 'x', true, 'of a device that is gone'),
      (${one.accountId}, ${one.chatIds[0]}, ${one.deviceIds[0]}, 'x', true, 'of a device that is there')
    on conflict do nothing`);
  await owner.query(sql`
    insert into private.whatsapp_messages (
      device_id, account_id, message_id, is_from_me, purpose, message, expires_at
    )
    values
      (${one.deviceIds[0]}, ${one.accountId}, 'old', true, 'sent', '', now() - interval '1 second'),
      (${one.deviceIds[0]}, ${one.accountId}, 'new', true, 'sent', '', now() + interval '1 day')
    on conflict do nothing`);
  await owner.query(sql`
    insert into private.whatsapp_parked_receipts (device_id, account_id, message_id, jid, status, at, created_at)
    select ${one.deviceIds[0]}, ${one.accountId}, 'm' || days, 'j', 'read', now(), now() - days * interval '1 day'
    from unnest(array[6, 8]) as days
    on conflict do nothing`);
  await owner.query(sql`
    with file as (
      insert into public.media (account_id, device_id, object_key, mimetype)
      select ${one.accountId}, ${one.deviceIds[0]}, 'late ' || days || random(), 'image/png'
      from unnest(array[21, 23]) as days
      returning id, account_id, object_key
    )
    insert into private.whatsapp_downloads (media_id, account_id, device_id, message, created_at)
    select id, account_id, ${one.deviceIds[0]}, '', now() - substring(object_key, 6, 2)::integer * interval '1 day'
    from file`);
  await owner.query(sql`
    update public.leads set deleted_at = now() - interval '31 days' where id = ${one.leadIds[0]}`);
  await owner.query(sql`
    update public.leads set deleted_at = now() - interval '29 days' where id = ${one.leadIds[1]}`);
}

test('removes what is over, in batches, and nothing else', async () => {
  await fill();
  const removed: Record<string, number> = {};
  for (const purge of PURGES) removed[purge.table] = await purgeTable(means(), purge);
  expect(removed).toEqual({
    idempotency_keys: 1_198,
    refresh_tokens: 3,
    sessions: 2,
    leads: 1,
    device_pairings: 1,
    messages: 1,
    whatsapp_messages: 1,
    whatsapp_parked_receipts: 1,
    whatsapp_downloads: 1,
  });
  expect(
    await owner.query(sql`
      select substring(object_key, 6, 2) as days, state from public.media
      where object_key like 'late %' order by days`),
  ).toEqual([
    { days: '21', state: 'pending' },
    { days: '23', state: 'failed' },
  ]);
  const [orphan] = await owner.query(
    sql`select status, error from public.messages where client_id = 'of a device that is gone'`,
  );
  expect(orphan).toMatchObject({
    status: 'failed',
    error: expect.stringContaining('deleted') as string,
  });
  expect(await count('private', 'idempotency_keys')).toBe(2);
  expect(await count('public', 'leads')).toBe(11);
  // The tokens of a session that goes go with it.
  expect(await count('private', 'refresh_tokens')).toBe(1);
});

test('workers take turns', async () => {
  await fill();
  const purge = PURGES[0];
  if (!purge) throw new Error('nothing is purged');
  const removed = await Promise.all([
    purgeTable(means(), purge),
    purgeTable(means(), purge),
    purgeTable(means(), purge),
  ]);
  const more = await purgeTable(means(), purge);
  expect(removed.reduce((sum, rows) => sum + rows, 0) + more).toBeGreaterThanOrEqual(1_198);
  expect(await count('private', 'idempotency_keys')).toBe(4);
});

test('runs by itself until it is stopped', async () => {
  await fill();
  const running = startPurge(means());
  await eventually(async () => expect(await count('private', 'idempotency_keys')).toBe(6), {
    says: 'keys are purged',
  });
  await running.stop();
});
