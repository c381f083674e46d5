import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';
import { changesOf, connect, createSlotBy, one, tail, type Tail } from './support.ts';

let database: TestDatabase;
let client: pg.Client;
let decoded: Tail;

beforeAll(async () => {
  database = await createTestDatabase();
  client = await connect(database.ownerUrl);
  await createSlotBy(client, database.name);
  decoded = tail({ url: database.replicationUrl, slot: database.name });
  await decoded.stream.started;
});

afterAll(async () => {
  await decoded.stream.stop();
  await client.end();
  await database.drop();
});

let slugs = 0;
async function createAccount(): Promise<number> {
  const row = await one(client, `insert into accounts (name, slug) values ('Acme', $1) returning id`, [`a${++slugs}`]);
  await client.query('select clarin.seed_account_defaults($1)', [row['id']]);
  await decoded.settle(client);
  return Number(row['id']);
}

async function createTag(account: number, name: string): Promise<number> {
  const row = await one(client, 'insert into tags (account_id, name) values ($1, $2) returning id', [account, name]);
  return Number(row['id']);
}

async function createLead(account: number, title: string): Promise<{ id: number; contact: number }> {
  const contact = await one(client, 'insert into contacts (account_id, name) values ($1, $2) returning id', [
    account,
    title,
  ]);
  const lead = await one(
    client,
    'insert into leads (account_id, contact_id, title) values ($1, $2, $3) returning id',
    [account, contact['id'], title],
  );
  return { id: Number(lead['id']), contact: Number(contact['id']) };
}

const emit = (prefix: string, content: unknown, transactional = true): Promise<unknown> => {
  const text = typeof content === 'string' ? content : JSON.stringify(content);
  return client.query('select pg_logical_emit_message($1::boolean, $2::text, $3::text)', [transactional, prefix, text]);
};

describe('decode', () => {
  test('an insert, an update and a delete become changes of their account', async () => {
    const account = await createAccount();
    const id = await createTag(account, 'hot');
    await client.query('update tags set name = $1 where id = $2', ['cold', id]);
    await client.query('delete from tags where id = $1', [id]);
    const [inserted, updated, deleted] = await decoded.settle(client);
    expect(changesOf(inserted, account)).toMatchObject([
      { table: 'tags', op: 'insert', key: { id }, row: { id, account_id: account, name: 'hot' } },
    ]);
    expect(changesOf(updated, account)).toMatchObject([{ op: 'update', key: { id }, row: { name: 'cold' } }]);
    expect(changesOf(deleted, account)).toEqual([{ table: 'tags', op: 'delete', key: { id } }]);
    expect(inserted?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  test('[R1] a cascade, a trigger and COPY are decoded like any other change', async () => {
    const account = await createAccount();
    const { id } = await createLead(account, 'Deal');
    const tag = await createTag(account, 'hot');
    await client.query('insert into lead_tags (account_id, lead_id, tag_id) values ($1, $2, $3)', [account, id, tag]);
    await decoded.settle(client);
    await client.query('delete from tags where id = $1', [tag]);
    const [cascade] = await decoded.settle(client);
    expect(changesOf(cascade, account)).toMatchObject([
      { table: 'tags', op: 'delete', key: { id: tag } },
      { table: 'lead_tags', op: 'delete', key: { lead_id: id, tag_id: tag } },
    ]);
    await client.query('update accounts set default_country = default_country where id = $1', [account]);
    await client.query('insert into pipelines (account_id, name) values ($1, $2)', [account, 'Second']);
    const [, byTrigger] = await decoded.settle(client);
    const tables = changesOf(byTrigger, account).map((change) => change['table']);
    expect(tables).toContain('pipeline_stages');
  });

  test('[R2] what was rolled back, by its transaction or a savepoint, gives nothing', async () => {
    const account = await createAccount();
    await client.query('begin');
    await createTag(account, 'never');
    await client.query('rollback');
    await client.query('begin');
    const kept = await createTag(account, 'kept');
    await client.query('savepoint here');
    await createTag(account, 'gone');
    await emit('clarin.signal', { account_id: account, kind: 'typing' });
    await client.query('rollback to savepoint here');
    await client.query('commit');
    const transactions = await decoded.settle(client);
    expect(transactions).toHaveLength(1);
    expect(changesOf(transactions[0], account).map((change) => change['key'])).toEqual([{ id: kept }]);
    expect(transactions[0]?.commits[0]?.signals).toEqual([]);
  });

  test('[R3] transactions come whole and in the order of their commits, not of their writes', async () => {
    const account = await createAccount();
    const other = await connect(database.ownerUrl);
    await other.query('begin');
    await other.query('insert into tags (account_id, name) values ($1, $2)', [account, 'written first']);
    await createTag(account, 'committed first');
    await other.query('insert into tags (account_id, name) values ($1, $2)', [account, 'written last']);
    await other.query('commit');
    await other.end();
    const transactions = await decoded.settle(client);
    const names = transactions.map((one) =>
      changesOf(one, account).map((change) => (change['row'] as { name: string }).name),
    );
    expect(names).toEqual([['committed first'], ['written first', 'written last']]);
    const [first, second] = transactions;
    expect(first && second && first.lsn < first.endLsn && first.endLsn <= second.lsn).toBe(true);
  });

  test('[R4] the rows of one statement keep their order behind one commit LSN', async () => {
    const account = await createAccount();
    await client.query(
      `insert into tags (account_id, name) select $1, 'tag ' || n from generate_series(1, 50) as n`,
      [account],
    );
    const [transaction] = await decoded.settle(client);
    const names = changesOf(transaction, account).map((change) => (change['row'] as { name: string }).name);
    expect(names).toEqual(Array.from({ length: 50 }, (_, index) => `tag ${index + 1}`));
    expect(transaction?.commits).toHaveLength(1);
  });

  test('[R6] an unchanged TOAST value is named and absent, a null is only absent', async () => {
    const account = await createAccount();
    const { id } = await createLead(account, 'Deal');
    await client.query(`alter table leads alter column notes set storage external`);
    await client.query(`update leads set notes = repeat('x', 9000) where id = $1`, [id]);
    await client.query(`update leads set title = 'Other' where id = $1`, [id]);
    await client.query(`update leads set notes = null where id = $1`, [id]);
    const changes = (await decoded.settle(client)).flatMap((one) => changesOf(one, account));
    const [, , set, moved, cleared] = changes;
    expect((set?.['row'] as { notes: string }).notes).toHaveLength(9000);
    expect(moved).toMatchObject({ op: 'update', unchanged: ['notes'] });
    expect(moved?.['row']).not.toHaveProperty('notes');
    expect(cleared).not.toHaveProperty('unchanged');
    expect(cleared?.['row']).not.toHaveProperty('notes');
  });

  test('[R7] a row that moves to another account is deleted in the old one and inserted in the new one', async () => {
    const [from, to] = [await createAccount(), await createAccount()];
    const id = await createTag(from, 'wanderer');
    await decoded.settle(client);
    await client.query('update tags set account_id = $1 where id = $2', [to, id]);
    const [moved] = await decoded.settle(client);
    expect(changesOf(moved, from)).toEqual([{ table: 'tags', op: 'delete', key: { id } }]);
    expect(changesOf(moved, to)).toMatchObject([{ op: 'insert', key: { id }, row: { account_id: to } }]);
    expect(moved?.commits.find((one) => one.accountId === from)?.changes[0]?.json).not.toContain('wanderer');
  });

  test('an account is a row of itself, with its settings for those who may see them, and a user is nobody’s', async () => {
    const account = await createAccount();
    await client.query(`update accounts set settings = '{"a": 1}' where id = $1`, [account]);
    await client.query(`insert into users (username, display_name, password_hash) values ($1, 'U', 'secret')`, [
      `u${account}`,
    ]);
    const [updated, user] = await decoded.settle(client);
    const [change] = updated?.commits.find((one) => one.accountId === account)?.changes ?? [];
    expect(JSON.parse(change?.json ?? '')).toMatchObject({ table: 'accounts', row: { settings: { a: 1 } } });
    expect(JSON.parse(change?.restrictedJson ?? '').row).not.toHaveProperty('settings');
    expect(user?.commits).toEqual([]);
    expect(user?.changesCount).toBe(1);
  });

  test('[R8] a truncate stands among the changes of those it meets and apart for all others', async () => {
    const account = await createAccount();
    await client.query('begin');
    await createTag(account, 'before');
    await client.query('truncate tags cascade');
    await createTag(account, 'after');
    await client.query('commit');
    const [transaction] = await decoded.settle(client);
    const ops = changesOf(transaction, account).map((change) => `${String(change['op'])} ${String(change['table'])}`);
    expect(ops[0]).toBe('insert tags');
    expect(ops.at(-1)).toBe('insert tags');
    expect(new Set(ops.slice(1, -1))).toEqual(
      new Set(['truncate tags', 'truncate lead_tags', 'truncate contact_tags']),
    );
    expect(transaction?.truncates.map((change) => change.table).sort()).toEqual(['contact_tags', 'lead_tags', 'tags']);
  });

  test('[R10] origin and signals come with their transaction; what does not fit is ignored and counted', async () => {
    const account = await createAccount();
    await client.query('begin');
    await emit('clarin.origin', { source: 'api', request_id: 'r1' });
    await emit('clarin.origin', 'no json');
    await emit('clarin.origin', '[1]');
    await emit('clarin.origin', { source: 'x'.repeat(3_000) });
    await emit('clarin.signal', { account_id: account, kind: 'typing', chat_id: 7 });
    await emit('clarin.signal', { account_id: 'all', kind: 'typing' });
    await emit('somebody.else', 'hello');
    await createTag(account, 'hot');
    await client.query('commit');
    await emit('clarin.signal', { account_id: account, kind: 'typing' }, false);
    const [transaction, lonely] = await decoded.settle(client);
    const [commit] = transaction?.commits ?? [];
    expect(JSON.parse(commit?.origin ?? '')).toEqual({ source: 'api', request_id: 'r1' });
    expect(commit?.signals.map((text) => JSON.parse(text))).toEqual([{ account_id: account, kind: 'typing', chat_id: 7 }]);
    expect(lonely).toMatchObject({ xid: 0, commits: [{ accountId: account, changes: [] }] });
    const ignored = await decoded.metrics.messagesIgnored.get();
    expect(Object.fromEntries(ignored.values.map((one) => [one.labels.prefix, one.value]))).toMatchObject({
      'clarin.origin': 3,
      'clarin.signal': 1,
      other: 1,
    });
  });

  test('[R11] a row that leaves a filter brings the values it had, whether updated, moved or deleted', async () => {
    const account = await createAccount();
    const { id, contact } = await createLead(account, 'Deal');
    const other = await createLead(account, 'Other');
    await decoded.settle(client);
    await client.query('update leads set contact_id = $1 where id = $2', [other.contact, id]);
    await client.query(`update leads set title = 'same place' where id = $1`, [id]);
    await client.query('delete from leads where id = $1', [id]);
    const transactions = await decoded.settle(client);
    const [left, stayed, gone] = transactions.map((one) => one.commits[0]?.changes.find((c) => c.table === 'leads'));
    expect(left?.now).toMatchObject({ contact_id: String(other.contact) });
    expect(left?.was).toMatchObject({ contact_id: String(contact), stage_id: left?.now?.['stage_id'] });
    expect(stayed?.was).toBeNull();
    expect(gone).toMatchObject({ op: 'delete', now: null, was: { contact_id: String(other.contact) } });
    expect(Object.keys(gone?.was ?? {}).sort()).toEqual(['assigned_to', 'contact_id', 'pipeline_id', 'stage_id']);
  });

  test('many rows of one statement each get the values they had', async () => {
    const account = await createAccount();
    const first = await createLead(account, 'One');
    const second = await createLead(account, 'Two');
    await decoded.settle(client);
    await client.query('update leads set contact_id = case id when $1 then $3::bigint else $2::bigint end where id in ($1, $4)', [
      first.id,
      first.contact,
      second.contact,
      second.id,
    ]);
    const [transaction] = await decoded.settle(client);
    const was = transaction?.commits[0]?.changes.map((change) => [change.keyJson, change.was?.['contact_id']]);
    expect(was).toEqual(
      expect.arrayContaining([
        [`{"id":${first.id}}`, String(first.contact)],
        [`{"id":${second.id}}`, String(second.contact)],
      ]),
    );
  });
});
