import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let admin: Caller;
let stranger: Caller;

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('devices');
  stranger = await api.account('strangers');
});

const ask = (method: string, path: string, body?: unknown, caller: { token: string } = admin) =>
  api.ask(caller, method, path, { body });

async function newDevice(name: string, more: Record<string, unknown> = {}): Promise<number> {
  const answer = await ask('POST', '/api/devices', { name, ...more });
  expect(answer.status, answer.text).toBe(201);
  return answer.body.data.id;
}

describe('a device', () => {
  test('is made disconnected, and nothing is wanted of it', async () => {
    const { body } = await ask('POST', '/api/devices', { name: 'Sales', receive_messages: false });
    expect(body.data).toMatchObject({
      name: 'Sales',
      status: 'disconnected',
      wanted: 'disconnected',
      receive_messages: false,
    });
    for (const member of [{ status: 'connected' }, { wanted: 'connected' }, { jid: 'x' }])
      expect((await ask('POST', '/api/devices', { name: 'x', ...member })).status).toBe(400);
  });

  test('beyond what the account may have is refused, with the number in the sentence', async () => {
    const small = await api.account('small');
    await api.owner.query(
      sql`update public.accounts set max_devices = 2 where id = ${small.accountId}`,
    );
    const answer = await ask('POST', '/api/devices', { name: 'Third' }, small);
    expect(answer.status).toBe(422);
    expect(answer.body.error).toBe('the account has all the devices it may have (2)');
    await ask('DELETE', `/api/devices/${small.deviceIds[0]}`, undefined, small);
    expect((await ask('POST', '/api/devices', { name: 'Third' }, small)).status).toBe(201);
  });

  test('is asked to connect, to disconnect and to log out; what it is stays for its worker to say', async () => {
    const id = await newDevice('Wanted');
    for (const [verb, wanted] of [
      ['connect', 'connected'],
      ['disconnect', 'disconnected'],
      ['logout', 'logged_out'],
    ] as const) {
      const answer = await ask('POST', `/api/devices/${id}/${verb}`);
      expect(answer.status).toBe(200);
      expect(answer.body.data).toMatchObject({ id, wanted, status: 'disconnected' });
      const again = await ask('POST', `/api/devices/${id}/${verb}`);
      expect(again.body).toEqual(answer.body);
      expect((await ask('POST', `/api/devices/${id}/${verb}`, undefined, stranger)).status).toBe(
        404,
      );
    }
    const token = await api.tokenOf(admin, ['chats']);
    expect((await ask('POST', `/api/devices/${id}/connect`, undefined, { token })).status).toBe(
      403,
    );
  });
});

describe('a pairing', () => {
  const pair = (id: number, body: unknown, caller: { token: string } = admin) =>
    ask('POST', `/api/devices/${id}/pairing`, body, caller);

  test('by QR is a row that the worker fills, and the device is wanted connected', async () => {
    const id = await newDevice('By QR');
    expect((await ask('GET', `/api/devices/${id}/pairing`)).status).toBe(404);
    const asked = await pair(id, { kind: 'qr' });
    expect(asked.status).toBe(200);
    expect(asked.body.data).toMatchObject({ device_id: id, kind: 'qr' });
    expect(asked.body.data.code).toBeUndefined();
    expect((await ask('GET', `/api/devices/${id}`)).body.data.wanted).toBe('connected');
    await api.owner.query(
      sql`update public.device_pairings set code = 'text of the QR' where device_id = ${id}`,
    );
    const read = await ask('GET', `/api/devices/${id}/pairing`);
    expect(read.body.data.code).toBe('text of the QR');
    // Who asks for the same is not the reason for another QR.
    expect((await pair(id, { kind: 'qr' })).body).toEqual(read.body);
  });

  test('by code is for a phone number as people type it, and takes the place of another', async () => {
    const id = await newDevice('By code');
    await pair(id, { kind: 'qr' });
    await api.owner.query(
      sql`update public.device_pairings set code = 'of the QR' where device_id = ${id}`,
    );
    const asked = await pair(id, { kind: 'code', phone: '987 654 321' });
    expect(asked.body.data).toMatchObject({ kind: 'code', phone: '51987654321' });
    expect(asked.body.data.code).toBeUndefined();
    const [row] = await api.owner.query(
      sql`select count(*) from public.device_pairings where device_id = ${id}`,
    );
    expect(row?.['count']).toBe('1');
    const bad = await pair(id, { kind: 'code', phone: 'none' });
    expect(bad.status).toBe(400);
    expect(bad.body.error).toContain('body.phone');
    for (const body of [{ kind: 'code' }, { kind: 'qr', phone: '987654321' }, { kind: 'x' }])
      expect((await pair(id, body)).status).toBe(400);
  });

  test('that has expired is none, and is replaced', async () => {
    const id = await newDevice('Expired');
    const first = await pair(id, { kind: 'qr' });
    await api.owner.query(sql`
      update public.device_pairings set code = 'old', expires_at = now() - interval '1 second'
      where device_id = ${id}`);
    expect((await ask('GET', `/api/devices/${id}/pairing`)).status).toBe(404);
    const second = await pair(id, { kind: 'qr' });
    expect(second.body.data.code).toBeUndefined();
    expect(second.body.data.expires_at > first.body.data.created_at).toBe(true);
  });

  test('of a connected device is refused', async () => {
    const [id = 0] = admin.deviceIds;
    const answer = await pair(id, { kind: 'qr' });
    expect(answer.status).toBe(409);
    expect(answer.body.code).toBe('conflict');
  });

  test('of a device that is being logged out is refused until it is', async () => {
    const id = await newDevice('Leaving');
    await ask('POST', `/api/devices/${id}/logout`);
    const early = await pair(id, { kind: 'qr' });
    expect([early.status, early.body.error]).toEqual([
      409,
      'the device is being logged out: pair it when that is done',
    ]);
    expect((await ask('GET', `/api/devices/${id}`)).body.data.wanted).toBe('logged_out');
    await api.owner.query(sql`update public.devices set status = 'logged_out' where id = ${id}`);
    expect((await pair(id, { kind: 'qr' })).status).toBe(200);
  });

  test('is given up by itself, and with disconnecting and logging out', async () => {
    const id = await newDevice('Given up');
    const asked = await pair(id, { kind: 'qr' });
    const cancelled = await ask('DELETE', `/api/devices/${id}/pairing`);
    expect(cancelled.body).toEqual(asked.body);
    expect((await ask('DELETE', `/api/devices/${id}/pairing`)).status).toBe(404);
    for (const verb of ['disconnect', 'logout']) {
      await pair(id, { kind: 'qr' });
      await ask('POST', `/api/devices/${id}/${verb}`);
      expect((await ask('GET', `/api/devices/${id}/pairing`)).status).toBe(404);
    }
  });

  test('of a device of another account is not there', async () => {
    const id = await newDevice('Ours');
    await pair(id, { kind: 'qr' });
    expect((await pair(id, { kind: 'qr' }, stranger)).status).toBe(404);
    for (const method of ['GET', 'DELETE'])
      expect((await ask(method, `/api/devices/${id}/pairing`, undefined, stranger)).status).toBe(
        404,
      );
    expect((await ask('GET', `/api/devices/${id}/pairing`)).status).toBe(200);
  });
});

describe('the health of a device', () => {
  test('says its state, why, and what waits for it, in one statement', async () => {
    const { accountId, deviceIds, chatIds } = admin;
    const [id] = deviceIds;
    await api.owner.query(sql`
      update public.devices set status_reason = 'No answer for a minute', last_seen_at = now() where id = ${id}`);
    const path = `/api/devices/${id}/health`;
    const idle = await ask('GET', path);
    expect(idle.body.data).toMatchObject({ status: 'connected', pending_count: 0 });
    expect(idle.body.data.oldest_pending_at).toBeUndefined();
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status, created_at)
      select ${accountId}, ${chatIds[1]}, 'waits', true, 'pending', now() - number * interval '1 minute'
      from generate_series(1, 3) as number`);
    api.statements.length = 0;
    const { body } = await ask('GET', path);
    expect(api.statements.filter((text) => text.includes('public.devices'))).toHaveLength(1);
    expect(body.data).toMatchObject({
      id,
      status_reason: 'No answer for a minute',
      pending_count: 3,
    });
    expect(body.data.last_seen_at).toMatch(/^\d{4}-.*Z$/);
    expect(body.data.oldest_pending_seconds).toBeGreaterThanOrEqual(180);
    expect((await ask('GET', path, undefined, stranger)).status).toBe(404);
  });
});

describe('a deleted device', () => {
  test('leaves its chats and messages; its campaigns are paused and what waited for it has failed', async () => {
    const account = await api.account('deleting');
    const { accountId, deviceIds, chatIds } = account;
    const [other, id] = deviceIds;
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status)
      values (${accountId}, ${chatIds[0]}, 'waits', true, 'pending')`);
    const campaigns = await api.owner.query(sql`
      insert into public.campaigns (account_id, name, device_id, template, status)
      values (${accountId}, 'Runs', ${id}, 'x', 'running'), (${accountId}, 'Comes', ${id}, 'x', 'scheduled'),
        (${accountId}, 'Done', ${id}, 'x', 'done'), (${accountId}, 'Other', ${other}, 'x', 'running')
      returning id`);
    const rows = () =>
      api.owner.query(sql`
        select count(*) as messages, count(distinct chat_id) as chats
        from public.messages where account_id = ${accountId}`);
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, device_id, body, is_from_me, status)
      values (${accountId}, ${chatIds[0]}, ${id}, 'is being sent', true, 'sending')`);
    await api.owner.query(sql`
      insert into public.media (account_id, device_id, object_key, mimetype)
      values (${accountId}, ${id}, 'still to be fetched', 'image/png')`);
    const before = await rows();
    const seen = await ask('GET', `/api/devices/${id}`, undefined, account);
    const deleted = await ask('DELETE', `/api/devices/${id}`, undefined, account);
    expect(deleted.body).toEqual(seen.body);
    expect(await rows()).toEqual(before);
    const [chat] = await api.owner.query(
      sql`select device_id, contact_id is not null as has_contact from public.chats where id = ${chatIds[0]}`,
    );
    expect(chat).toEqual({ device_id: null, has_contact: 't' });
    const states = await api.owner.query(sql`
      select name, status, status_reason is not null as has_reason
      from public.campaigns where id = any(${campaigns.map((row) => row['id'])}::bigint[]) order by id`);
    expect(states).toEqual([
      { name: 'Runs', status: 'paused', has_reason: 't' },
      { name: 'Comes', status: 'paused', has_reason: 't' },
      { name: 'Done', status: 'done', has_reason: 'f' },
      { name: 'Other', status: 'running', has_reason: 'f' },
    ]);
    const waited = await api.owner.query(sql`
      select status, error from public.messages where account_id = ${accountId} and body = 'waits'`);
    expect(waited).toEqual([
      { status: 'failed', error: 'Its device was deleted before it was sent.' },
    ]);
    const [begun] = await api.owner.query(sql`
      select status, error from public.messages where account_id = ${accountId} and body = 'is being sent'`);
    expect(begun).toEqual({
      status: 'failed',
      error: 'Its device was deleted before it was known whether it was sent.',
    });
    const [file] = await api.owner.query(
      sql`select state from public.media where object_key = 'still to be fetched'`,
    );
    expect(file?.['state']).toBe('failed');
  });

  test('of another account is not there, and nothing of it is touched', async () => {
    const [id] = admin.deviceIds;
    await api.owner.query(sql`
      update public.campaigns set status = 'running' where device_id = ${id}`);
    expect((await ask('DELETE', `/api/devices/${id}`, undefined, stranger)).status).toBe(404);
    const rows = await api.owner.query(
      sql`select status from public.campaigns where device_id = ${id}`,
    );
    expect(rows).toEqual([{ status: 'running' }]);
  });

  test('that has changed since it was seen stays, with its campaigns running', async () => {
    const [id] = admin.deviceIds;
    const headers = { 'if-match': '"2020-01-01T00:00:00.000000Z"' };
    const answer = await api.ask(admin, 'DELETE', `/api/devices/${id}`, { headers });
    expect(answer.status).toBe(412);
    const rows = await api.owner.query(
      sql`select status from public.campaigns where device_id = ${id}`,
    );
    expect(rows).toEqual([{ status: 'running' }]);
  });
});
