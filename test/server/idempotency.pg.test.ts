import { beforeAll, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

const post = (key: string, name: string, caller = one) =>
  api.ask(caller, 'POST', '/api/tags', { body: { name }, headers: { 'idempotency-key': key } });

async function countTags(name: string): Promise<number> {
  const rows = await api.owner.query(
    sql`select count(*) as n from public.tags where name = ${name}`,
  );
  return Number(rows[0]?.['n']);
}

test('a repeated request is answered as the first time and writes once', async () => {
  const first = await post('key-1', 'once');
  const again = await post('key-1', 'once');
  expect(first.status).toBe(201);
  expect(again.status).toBe(201);
  expect(again.text).toBe(first.text);
  expect(again.headers['idempotency-replayed']).toBe('true');
  expect(first.headers['idempotency-replayed']).toBeUndefined();
  for (const name of ['etag', 'location']) expect(again.headers[name]).toBe(first.headers[name]);
  expect(again.headers['clarin-commit']).toBeDefined();
  expect(await countTags('once')).toBe(1);
});

test('a key used with another request is refused', async () => {
  await post('key-2', 'this');
  const other = await post('key-2', 'that');
  expect(other.status).toBe(422);
  expect(other.body.code).toBe('idempotency_mismatch');
  const elsewhere = await api.ask(one, 'PATCH', `/api/tags/${one.tagIds[0]}`, {
    body: { name: 'this' },
    headers: { 'idempotency-key': 'key-2' },
  });
  expect(elsewhere.status).toBe(422);
  expect(await countTags('that')).toBe(0);
});

test('concurrent duplicates wait for the first and are answered like it', async () => {
  const answers = await Promise.all(Array.from({ length: 6 }, () => post('key-3', 'together')));
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201]);
  expect(answers.filter(({ headers }) => headers['idempotency-replayed'] === 'true')).toHaveLength(
    5,
  );
  expect(await countTags('together')).toBe(1);
});

test('a refused write does not use the key up', async () => {
  await post('key-4', 'taken');
  expect((await post('key-5', 'taken')).status).toBe(409);
  await api.owner.query(sql`delete from public.tags where name = 'taken'`);
  const later = await post('key-5', 'taken');
  expect(later.status).toBe(201);
  expect(later.headers['idempotency-replayed']).toBeUndefined();
});

test('[A6] what was answered then is not shown to a role that sees fewer devices by now', async () => {
  const caller = { token: await api.tokenOf(one, ['chats']) };
  const open = () =>
    api.ask(caller, 'POST', '/api/chats', {
      body: { device_id: one.deviceIds[1], phone: '+51 911 222 333' },
      headers: { 'idempotency-key': 'key-9' },
    });
  expect((await open()).status).toBe(201);
  expect((await open()).headers['idempotency-replayed']).toBe('true');
  await api.owner.query(sql`
    update public.roles set device_ids = array[${one.deviceIds[0]}]::bigint[]
    where account_id = ${one.accountId} and permissions = '{chats}'`);
  const answer = await open();
  expect([answer.status, answer.body.code]).toEqual([422, 'idempotency_mismatch']);
});

test("another account's key is another key", async () => {
  expect((await post('key-6', 'of one')).status).toBe(201);
  const other = await post('key-6', 'of two', two);
  expect(other.status).toBe(201);
  expect(other.body.data.account_id).toBe(two.accountId);
});

test('a key is forgotten after a day', async () => {
  await post('key-7', 'yesterday');
  await api.owner.query(sql`
    update private.idempotency_keys set created_at = now() - interval '25 hours' where key = 'key-7'`);
  const today = await post('key-7', 'today');
  expect(today.status).toBe(201);
  expect(today.body.data.name).toBe('today');
});

test('a key that is none is refused', async () => {
  for (const key of ['', 'with space', 'x'.repeat(256)]) {
    expect((await post(key, `bad ${key.length}`)).status).toBe(400);
  }
});

test('what is kept of a request with a password is not open to guessing', async () => {
  const [role] = await api.owner.query(
    sql`select id from public.roles where account_id = ${one.accountId} and name = 'Agent'`,
  );
  const body = {
    username: 'kept',
    display_name: 'Kept',
    password: 'hunter2 hunter2',
    role_id: Number(role?.['id']),
  };
  const created = await api.ask(one, 'POST', '/api/users', {
    body,
    headers: { 'idempotency-key': 'key-8' },
  });
  expect(created.status).toBe(201);
  const rows = await api.owner.query(
    sql`select request_hash, body from private.idempotency_keys where key = 'key-8'`,
  );
  expect(rows[0]?.['request_hash']).toMatch(/^[0-9a-f]{64}$/);
  expect(rows[0]?.['body']).not.toContain('hunter2');
});
