import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

type Entry = {
  id: number;
  actor_id?: number;
  source: string;
  request_id?: string;
  action: string;
  entity: string;
  entity_id: number;
  before?: Record<string, unknown>;
  after?: Record<string, unknown>;
  created_at: string;
};

let api: TestApi;
let admin: Caller;
let stranger: Caller;

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('audited');
  stranger = await api.account('strangers');
});

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  api.ask(admin, method, path, { body, headers });

/** What is written down of one row, oldest first. */
async function entriesOf(entity: string, id: number, caller = admin): Promise<Entry[]> {
  const path = `/api/audit_log?entity=${entity}&entity_id=${id}&order=asc`;
  return (await api.ask(caller, 'GET', path)).body.data;
}

describe('a change', () => {
  test('[A9] by the API says who, by which request, and what differs and nothing else', async () => {
    const made = await ask(
      'POST',
      '/api/pipelines',
      { name: 'Audited' },
      { 'x-request-id': 'r-1' },
    );
    const { id } = made.body.data;
    await ask('PATCH', `/api/pipelines/${id}`, { name: 'Renamed' }, { 'x-request-id': 'r-2' });
    await ask('DELETE', `/api/pipelines/${id}`, undefined, { 'x-request-id': 'r-3' });
    const by = { actor_id: admin.userId, source: 'api', entity: 'pipelines', entity_id: id };
    const [first, second, third, ...more] = await entriesOf('pipelines', id);
    expect(first).toMatchObject({ ...by, action: 'insert', request_id: 'r-1' });
    expect(first?.before).toBeUndefined();
    expect(first?.after).toMatchObject({ id, name: 'Audited' });
    expect(second).toMatchObject({ ...by, action: 'update', request_id: 'r-2' });
    expect(second?.before).toEqual({ name: 'Audited' });
    expect(second?.after).toEqual({ name: 'Renamed' });
    expect(third).toMatchObject({ ...by, action: 'delete', request_id: 'r-3' });
    expect(third?.before).toMatchObject({ name: 'Renamed' });
    expect(third?.after).toBeUndefined();
    expect(more).toEqual([]);
  });

  test('[A9] by a program with a key is its user’s', async () => {
    const made = await ask('POST', '/api/api_keys', { name: 'Robot', permissions: ['pipelines'] });
    const robot = { token: made.body.data.key };
    const tag = await api.ask(robot, 'POST', '/api/pipelines', { body: { name: 'By a robot' } });
    expect(await entriesOf('pipelines', tag.body.data.id)).toMatchObject([
      { actor_id: admin.userId, source: 'api', action: 'insert' },
    ]);
  });

  test('[A9] by SQL is of nobody, and by another program of ours says which', async () => {
    const insert = (name: string) => sql`
      insert into public.pipelines (account_id, name) values (${admin.accountId}, ${name}) returning id`;
    const [plain] = await api.owner.query(insert('By hand'));
    const [entry] = await entriesOf('pipelines', Number(plain?.['id']));
    expect(entry).toMatchObject({ source: 'sql', action: 'insert' });
    expect(entry?.actor_id).toBeUndefined();
    expect(entry?.request_id).toBeUndefined();
    const { value } = await api.owner.transaction((tx) => tx.query(insert('By Kommo')), {
      origin: { source: 'kommo' },
    });
    expect(await entriesOf('pipelines', Number(value[0]?.['id']))).toMatchObject([
      { source: 'kommo' },
    ]);
    // An origin ends with its transaction, also where the connection goes on.
    const [next] = await api.owner.query(insert('By hand again'));
    expect(await entriesOf('pipelines', Number(next?.['id']))).toMatchObject([{ source: 'sql' }]);
  });

  test('[A9] that was rolled back, or that changes nothing, is not written down', async () => {
    const { body } = await ask('POST', '/api/pipelines', { name: 'Still' });
    const { id } = body.data;
    await ask('PATCH', `/api/pipelines/${id}`, { name: 'Still' });
    await api.owner.query(sql`update public.pipelines set updated_at = now() where id = ${id}`);
    await api.owner
      .transaction(async (tx) => {
        await tx.query(sql`update public.pipelines set name = 'Gone' where id = ${id}`);
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    expect(await entriesOf('pipelines', id)).toHaveLength(1);
  });

  test('[A9] of a secret is named and not shown', async () => {
    const user = { username: 'secretive', display_name: 'S', password: 'one long password' };
    const { body } = await ask('GET', '/api/roles');
    const made = await ask('POST', '/api/users', { ...user, role_id: body.data[0].id });
    const { id } = made.body.data;
    await ask('PATCH', `/api/users/${id}`, { password: 'another long password' });
    const entries = await entriesOf('users', id);
    expect(entries.at(-1)).toMatchObject({
      action: 'update',
      before: { password_hash: '(secret)' },
      after: { password_hash: '(secret)' },
    });
    const key = await ask('POST', '/api/api_keys', { name: 'Robot', permissions: [] });
    const [first] = await entriesOf('api_keys', key.body.data.id);
    expect(first?.after).toMatchObject({ name: 'Robot', key_hash: '(secret)' });
    const rows = await api.owner.query(
      sql`select id from public.audit_log where before::text || after::text ~ 'argon2|\\\\x[0-9a-f]{64}'`,
    );
    expect(rows).toEqual([]);
  });

  test('[A9] that ends a user is kept with every account it was of', async () => {
    const user = { username: 'leaving', display_name: 'L', password: 'one long password' };
    const { body } = await ask('GET', '/api/roles');
    const made = await ask('POST', '/api/users', { ...user, role_id: body.data[0].id });
    const { id } = made.body.data;
    await api.owner.query(sql`delete from public.users where id = ${id}`);
    const entries = await entriesOf('users', id);
    expect(entries.at(-1)).toMatchObject({ action: 'delete', before: { username: 'leaving' } });
  });

  test('that a device or a campaign makes by itself is no decision of anybody', async () => {
    const [id = 0] = admin.deviceIds;
    const before = await entriesOf('devices', id);
    await api.owner.query(sql`
      update public.devices set status = 'connecting', last_seen_at = now() where id = ${id}`);
    expect(await entriesOf('devices', id)).toHaveLength(before.length);
    await ask('POST', `/api/devices/${id}/connect`);
    expect((await entriesOf('devices', id)).at(-1)).toMatchObject({
      actor_id: admin.userId,
      after: { wanted: 'connected' },
    });
  });

  test('[A9] of who may do what, of whom not to contact, and of what is gone for good is always there', async () => {
    const role = await ask('POST', '/api/roles', { name: 'Audited', permissions: ['leads'] });
    await ask('PATCH', `/api/roles/${role.body.data.id}`, { device_ids: [admin.deviceIds[0]] });
    expect((await entriesOf('roles', role.body.data.id)).map(({ action }) => action)).toEqual([
      'insert',
      'update',
    ]);
    const [contact = 0] = admin.contactIds;
    await api.owner.query(
      sql`update public.contacts set do_not_contact = not do_not_contact where id = ${contact}`,
    );
    expect((await entriesOf('contacts', contact)).at(-1)?.after).toHaveProperty('do_not_contact');
    const [lead = 0] = admin.leadIds;
    const [chat = 0] = admin.chatIds;
    const [tag = 0] = admin.tagIds;
    await api.owner.query(sql`delete from public.leads where id = ${lead}`);
    await api.owner.query(sql`delete from public.chats where id = ${chat}`);
    await api.owner.query(sql`delete from public.tags where id = ${tag}`);
    expect(await entriesOf('leads', lead)).toMatchObject([{ action: 'delete' }]);
    expect(await entriesOf('chats', chat)).toMatchObject([{ action: 'delete' }]);
    expect(await entriesOf('tags', tag)).toMatchObject([{ action: 'delete' }]);
    // The chat is said to be gone, once, and not each of its messages.
    for (const message of admin.messageIds)
      expect(await entriesOf('messages', message)).toEqual([]);
  });

  test('of Kommo by people is written down, and how its worker is doing is not', async () => {
    const body = { subdomain: 'audited', access_token: 'x' };
    const { id } = (await ask('POST', '/api/kommo/connections', body)).body.data;
    await api.owner.query(sql`
      update public.kommo_connections set status = 'rate_limited', last_change_at = now() where id = ${id}`);
    await ask('POST', `/api/kommo/connections/${id}/full-sync`);
    await ask('POST', `/api/kommo/connections/${id}/disconnect`);
    const entries = await entriesOf('kommo_connections', id);
    expect(entries.map(({ action, after }) => [action, after?.['full_sync_state']])).toEqual([
      ['insert', 'none'],
      ['update', 'pending'],
      ['update', 'cancelled'],
    ]);
  });
});

describe('the log', () => {
  test('[A10] is only added to, whoever tries', async () => {
    const attempts = [
      sql`update public.audit_log set actor_id = null`,
      sql`update public.audit_log set account_id = ${stranger.accountId} where account_id = ${admin.accountId}`,
      sql`delete from public.audit_log where account_id = ${admin.accountId}`,
      sql`truncate public.audit_log`,
    ];
    for (const attempt of attempts) {
      await expect(api.owner.query(attempt)).rejects.toMatchObject({ code: 'unprocessable' });
      await expect(
        api.owner.transaction(async (tx) => {
          await tx.query(sql`set local session_replication_role = 'replica'`);
          await tx.query(attempt);
        }),
      ).rejects.toMatchObject({ code: 'unprocessable' });
      await expect(api.database.query(attempt)).rejects.toMatchObject({ code: 'internal' });
    }
    const forged = sql`
      insert into public.audit_log (account_id, source, action, entity, entity_id)
      values (${admin.accountId}, 'api', 'delete', 'leads', 1)`;
    await expect(api.database.query(forged)).rejects.toMatchObject({
      cause: { code: '42501' },
    });
  });

  test('[A10] goes with its account, and only with it', async () => {
    const { accountId } = await api.account('going');
    const count = async (): Promise<number> => {
      const [row] = await api.owner.query(
        sql`select count(*) from public.audit_log where account_id = ${accountId}`,
      );
      return Number(row?.['count']);
    };
    expect(await count()).toBeGreaterThan(0);
    await api.owner.query(sql`delete from public.accounts where id = ${accountId}`);
    expect(await count()).toBe(0);
  });

  test('is asked by entity, by row, by actor, by action, by source and by time', async () => {
    const { body } = await ask('POST', '/api/pipelines', { name: 'Filtered' });
    const { id } = body.data;
    await api.owner.query(
      sql`update public.pipelines set name = 'Filtered by hand' where id = ${id}`,
    );
    const list = async (query: string): Promise<Entry[]> => {
      const answer = await ask('GET', `/api/audit_log?entity=pipelines&entity_id=${id}&${query}`);
      expect(answer.status, query).toBe(200);
      return answer.body.data;
    };
    const actions = async (query: string) => (await list(query)).map(({ action }) => action);
    expect(await actions('')).toEqual(['update', 'insert']);
    expect(await actions(`actor_id=${admin.userId}`)).toEqual(['insert']);
    expect(await actions(`actor_id=${stranger.userId}`)).toEqual([]);
    expect(await actions('action=update')).toEqual(['update']);
    expect(await actions('action=update,insert')).toEqual(['update', 'insert']);
    expect(await actions('source=api')).toEqual(['insert']);
    const [, first] = await list('');
    expect(await actions(`created_to=${first?.created_at}`)).toEqual([]);
    expect(await actions(`created_from=${first?.created_at}`)).toEqual(['update', 'insert']);
    const page = await ask('GET', `/api/audit_log?entity=pipelines&entity_id=${id}&limit=1`);
    const next = await ask(
      'GET',
      `/api/audit_log?entity=pipelines&entity_id=${id}&limit=1&cursor=${page.body.next_cursor}`,
    );
    expect(next.body.data).toMatchObject([{ id: first?.id }]);
    expect((await ask('GET', '/api/audit_log?action=nonsense')).status).toBe(400);
  });

  test('is for the permission settings, of one account, and written by no route', async () => {
    const { id } = (await ask('POST', '/api/pipelines', { name: 'Mine' })).body.data;
    expect(await entriesOf('pipelines', id, stranger)).toEqual([]);
    const token = await api.tokenOf(admin, ['pipelines', 'users']);
    expect((await api.ask({ token }, 'GET', '/api/audit_log')).status).toBe(403);
    const [entry] = await entriesOf('pipelines', id);
    const path = `/api/audit_log/${entry?.id}`;
    expect((await ask('GET', path)).body.data).toEqual(entry);
    expect((await api.ask(stranger, 'GET', path)).status).toBe(404);
    for (const [method, where] of [
      ['POST', '/api/audit_log'],
      ['PATCH', path],
      ['DELETE', path],
    ] as const)
      expect((await ask(method, where, {})).status).toBe(404);
  });
});
