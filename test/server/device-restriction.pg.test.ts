import { beforeAll, describe, expect, test } from 'vitest';
import type { Entity } from '../../domain/entity.ts';
import { ENTITIES } from '../../domain/registry.ts';
import { ident, sql } from '../../platform/sql.ts';
import { openLiveCache } from './live-cache.ts';
import { restrictedTo } from './restricted-role.ts';
import { PASSWORD, startTestApi, type Caller, type TestApi } from './support.ts';

type Who = { readonly token: string };
type Place = { readonly device: number; readonly chat: number };

let api: TestApi;
let admin: Caller;
let stranger: Caller;
/** Sees the first device only, and may do everything there. */
let some: Who;
let ours: Place;
let theirs: Place;

const OF_DEVICES = ENTITIES.filter(
  (entity) => entity.device !== undefined && entity.rest !== 'none' && entity.list,
).map((entity) => [entity.table, entity] as const);

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('restricted');
  stranger = await api.account('strangers');
  const [first = 0, second = 0] = admin.deviceIds;
  ours = { device: first, chat: admin.chatIds[1] ?? 0 };
  theirs = { device: second, chat: admin.chatIds[0] ?? 0 };
  some = await restrictedTo(api, admin, [first], ['*']);
  const { accountId, userId } = admin;
  // So that everything is there of either device.
  await api.owner.query(sql`
    insert into public.media (account_id, device_id, object_key, mimetype, state, created_by)
    values (${accountId}, ${second}, 'second', 'image/png', 'stored', ${userId}),
      (${accountId}, null, 'upload', 'image/png', 'stored', ${userId})`);
  await api.owner.query(sql`
    with campaign as (
      insert into public.campaigns (account_id, name, device_id, template) values (${accountId}, 'Other', ${second}, 'x')
      returning id
    )
    insert into public.campaign_recipients (account_id, campaign_id, contact_id)
    select ${accountId}, id, ${admin.contactIds[0]} from campaign`);
  await api.owner.query(sql`
    insert into public.messages (account_id, chat_id, body, from_jid)
    values (${accountId}, ${ours.chat}, 'a morning of ours', 'x')`);
});

const ask = (who: Who, method: string, path: string, body?: unknown) =>
  api.ask(who, method, path, { body });
const statusOf = async (who: Who, method: string, path: string, body?: unknown) =>
  (await ask(who, method, path, body)).status;

/** Ids of the account's rows, by whether the role may see them. */
async function rowsOf(entity: Entity): Promise<{ seen: number[]; unseen: number[] }> {
  const device = ident(entity.device ?? 'device_id');
  const rows = await api.owner.query(sql`
    select id, (${device} = ${ours.device}
      or ${device} is null and ${entity.deviceless === 'shown'}::boolean) is true as is_seen
    from ${ident(entity.table)} where account_id = ${admin.accountId} order by id`);
  const ids = (isSeen: string) =>
    rows.filter((row) => row['is_seen'] === isSeen).map((row) => Number(row['id']));
  return { seen: ids('t'), unseen: ids('f') };
}

describe.each(OF_DEVICES)('a role of one device and %s', (table, entity) => {
  test('[A6] lists and counts the rows of it, whatever is asked for', async () => {
    const { seen, unseen } = await rowsOf(entity);
    expect(seen.length).toBeGreaterThan(0);
    expect(unseen.length).toBeGreaterThan(0);
    const asks = ['', '&search=e', `&${entity.device}=${theirs.device}`];
    for (const query of asks) {
      const answer = await ask(some, 'GET', `/api/${table}?limit=200${query}`);
      // Not every list has every parameter.
      if (answer.status === 400) continue;
      for (const { id } of answer.body.data as { id: number }[]) expect(seen).toContain(id);
      expect(answer.body.total).toBeLessThanOrEqual(seen.length);
    }
    const { body } = await ask(some, 'GET', `/api/${table}?limit=200`);
    const ids = body.data.map(({ id }: { id: number }) => id);
    expect(ids.toSorted((a: number, b: number) => a - b)).toEqual(seen);
    expect(body.total).toBe(seen.length);
  });

  test('[A6] reads, changes and deletes none of the others', async () => {
    const { seen, unseen } = await rowsOf(entity);
    expect(await statusOf(some, 'GET', `/api/${table}/${seen[0]}`)).toBe(200);
    for (const id of unseen) {
      const path = `/api/${table}/${id}`;
      expect(await statusOf(some, 'GET', path)).toBe(404);
      if (entity.rest !== 'crud') continue;
      expect(await statusOf(some, 'DELETE', path)).toBe(404);
      expect([400, 404]).toContain(await statusOf(some, 'PATCH', path, { name: 'taken' }));
    }
    expect((await rowsOf(entity)).unseen).toEqual(unseen);
  });
});

describe('a role of one device', () => {
  test('[A6] reads the messages of its chats only, also by searching', async () => {
    expect(await statusOf(some, 'GET', `/api/chats/${ours.chat}/messages`)).toBe(200);
    expect(await statusOf(some, 'GET', `/api/chats/${theirs.chat}/messages`)).toBe(404);
    for (const id of admin.messageIds)
      expect(await statusOf(some, 'GET', `/api/messages/${id}`)).toBe(404);
    const found = await ask(some, 'GET', '/api/messages?search=morning');
    expect(found.status).toBe(200);
    expect(found.body.data.map(({ body }: { body: string }) => body)).toEqual([
      'a morning of ours',
    ]);
    const all = await ask(admin, 'GET', '/api/messages?search=morning');
    expect(all.body.data.length).toBeGreaterThan(1);
  });

  test('[A6] asks nothing of another device', async () => {
    const path = `/api/devices/${theirs.device}`;
    for (const [method, rest] of [
      ['POST', '/connect'],
      ['POST', '/logout'],
      ['GET', '/health'],
      ['GET', '/pairing'],
      ['DELETE', '/pairing'],
    ] as const)
      expect([rest, await statusOf(some, method, `${path}${rest}`)]).toEqual([rest, 404]);
    expect(await statusOf(some, 'POST', `${path}/pairing`, { kind: 'qr' })).toBe(404);
    expect(await statusOf(some, 'GET', `/api/devices/${ours.device}/health`)).toBe(200);
  });

  test('[A6] makes nothing where it could not see it', async () => {
    expect(await statusOf(some, 'POST', '/api/devices', { name: 'Mine' })).toBe(403);
    const campaign = { name: 'Mine', template: 'x' };
    expect(await statusOf(some, 'POST', '/api/campaigns', campaign)).toBe(403);
    const foreign = { ...campaign, device_id: theirs.device };
    expect(await statusOf(some, 'POST', '/api/campaigns', foreign)).toBe(422);
    const own = { ...campaign, device_id: ours.device };
    const made = await ask(some, 'POST', '/api/campaigns', own);
    expect(made.status, made.text).toBe(201);
    const path = `/api/campaigns/${made.body.data.id}`;
    expect(await statusOf(some, 'PATCH', path, { device_id: theirs.device })).toBe(422);
    expect(await statusOf(some, 'PATCH', path, { device_id: null })).toBe(403);
    expect((await ask(admin, 'GET', path)).body.data.device_id).toBe(ours.device);
  });

  test('[A6] has no file of another device sent, by a campaign or a quick reply', async () => {
    const [file] = await api.owner.query(sql`
      select id from public.media where account_id = ${admin.accountId} and device_id = ${theirs.device}`);
    const media = { media_id: Number(file?.['id']) };
    const reply = { shortcut: 'theirs', title: 'Theirs', body: 'x' };
    expect(await statusOf(some, 'POST', '/api/quick_replies', { ...reply, ...media })).toBe(422);
    const campaign = { name: 'Theirs', template: 'x', device_id: ours.device };
    expect(await statusOf(some, 'POST', '/api/campaigns', { ...campaign, ...media })).toBe(422);
    const made = await ask(some, 'POST', '/api/campaigns', campaign);
    const path = `/api/campaigns/${made.body.data.id}`;
    expect(await statusOf(some, 'PATCH', path, media)).toBe(422);
    expect(await statusOf(admin, 'PATCH', path, media)).toBe(200);
  });

  test('[A6] sees neither a chat nor its messages when the device is gone', async () => {
    const { accountId, contactIds } = admin;
    const [row] = await api.owner.query(sql`
      with device as (
        insert into public.devices (account_id, name) values (${accountId}, 'Short-lived') returning id
      ), chat as (
        insert into public.chats (account_id, device_id, contact_id, jid)
        select ${accountId}, id, ${contactIds[0]}, 'short@lid' from device
        returning id, device_id
      )
      select id, device_id from chat`);
    const [message] = await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me)
      values (${accountId}, ${row?.['id'] ?? null}::bigint, 'a zebra', false)
      returning id`);
    const device = Number(row?.['device_id']);
    const who = await restrictedTo(api, admin, [device]);
    const seen = async () => [
      await statusOf(who, 'GET', `/api/messages/${message?.['id']}`),
      (await ask(who, 'GET', '/api/messages?search=zebra')).body.data.length,
    ];
    expect(await seen()).toEqual([200, 1]);
    await api.owner.query(sql`delete from public.devices where id = ${device}`);
    expect(await seen()).toEqual([404, 0]);
  });

  test('[A6] is not answered from what the cache keeps for others', async () => {
    await openLiveCache(api.owner, api.config.redisUrl, api.config.redisPrefix);
    const read = (who: Who, path: string) => ask(who, 'GET', path);
    for (const path of ['/api/chats', `/api/chats/${theirs.chat}`, '/api/devices']) {
      await read(admin, path);
      expect((await read(admin, path)).headers['clarin-cache']).toBe('hit');
      const answer = await read(some, path);
      expect(answer.text).not.toContain(`"device_id":${theirs.device},`);
      expect([404, 200]).toContain(answer.status);
      if (answer.status === 200) expect(answer.headers['clarin-cache']).toBe('bypass');
    }
  });

  test('[A6] gives its keys no more than it has', async () => {
    const { body } = await ask(some, 'POST', '/api/api_keys', { name: 'R', permissions: ['*'] });
    const robot = { token: body.data.key };
    expect(await statusOf(robot, 'GET', `/api/devices/${ours.device}`)).toBe(200);
    expect(await statusOf(robot, 'GET', `/api/devices/${theirs.device}`)).toBe(404);
  });
});

describe('who is restricted', () => {
  const roleOf = async (body: unknown, who: Who = admin): Promise<number> => {
    const answer = await ask(who, 'POST', '/api/roles', body);
    expect(answer.status, answer.text).toBe(201);
    return answer.body.data.id;
  };

  test('[A7] makes roles of no other devices than theirs', async () => {
    const role = { name: 'Made by them', permissions: ['chats'] };
    for (const device_ids of [undefined, null, [theirs.device], [ours.device, theirs.device]]) {
      const answer = await ask(some, 'POST', '/api/roles', { ...role, device_ids });
      expect(answer.status).toBe(403);
      expect(answer.body.details.device_ids).toEqual(device_ids ? [theirs.device] : 'all');
    }
    const id = await roleOf({ ...role, device_ids: [ours.device] }, some);
    for (const device_ids of [null, [theirs.device]])
      expect(await statusOf(some, 'PATCH', `/api/roles/${id}`, { device_ids })).toBe(403);
    expect(await statusOf(some, 'PATCH', `/api/roles/${id}`, { device_ids: [] })).toBe(200);
    expect(await statusOf(some, 'PATCH', `/api/roles/${id}`, { name: 'Renamed' })).toBe(200);
  });

  test('[A7] does not widen their own role, nor touch one that is wider', async () => {
    const me = (await ask(some, 'GET', '/api/auth/me')).body.data;
    for (const device_ids of [null, [theirs.device]])
      expect(await statusOf(some, 'PATCH', `/api/roles/${me.role_id}`, { device_ids })).toBe(403);
    const wide = await roleOf({ name: 'Wide', permissions: [] });
    expect(await statusOf(some, 'PATCH', `/api/roles/${wide}`, { device_ids: [] })).toBe(403);
    const other = await roleOf({ name: 'Other', permissions: [], device_ids: [theirs.device] });
    expect(await statusOf(some, 'PATCH', `/api/roles/${other}`, { name: 'x' })).toBe(403);
    for (const role of [wide, other]) {
      expect(await statusOf(some, 'DELETE', `/api/roles/${role}`)).toBe(403);
      expect(await statusOf(admin, 'DELETE', `/api/roles/${role}`)).toBe(200);
      expect(await statusOf(some, 'DELETE', `/api/roles/${role}`)).toBe(404);
    }
    expect((await ask(some, 'GET', `/api/devices/${theirs.device}`)).status).toBe(404);
  });

  test('[A7] makes nobody, and becomes nobody, who sees more', async () => {
    const wide = await roleOf({ name: 'Wide too', permissions: [] });
    const narrow = await roleOf({ name: 'Narrow', permissions: [], device_ids: [ours.device] });
    const user = { display_name: 'New', password: PASSWORD };
    const create = (username: string, role_id: number) =>
      ask(some, 'POST', '/api/users', { ...user, username, role_id });
    expect((await create('too-wide', wide)).status).toBe(403);
    const made = await create('narrow', narrow);
    expect(made.status).toBe(201);
    const { id, membership_id } = made.body.data;
    expect(await statusOf(some, 'PATCH', `/api/users/${id}`, { role_id: wide })).toBe(403);
    const membership = `/api/memberships/${membership_id}`;
    expect(await statusOf(some, 'PATCH', membership, { role_id: wide })).toBe(403);
    // Another's password is another's powers.
    const admins = `/api/users/${admin.userId}`;
    expect(await statusOf(some, 'PATCH', admins, { password: `${PASSWORD}!` })).toBe(403);
    const [row] = await api.owner.query(sql`
      select member.id, session.id as session_id
      from public.memberships as member
      join public.sessions as session on session.user_id = member.user_id and session.api_key_id is null
      where member.account_id = ${admin.accountId} and member.user_id = ${admin.userId} limit 1`);
    expect(await statusOf(some, 'DELETE', `/api/memberships/${row?.['id']}`)).toBe(403);
    expect(await statusOf(some, 'DELETE', `/api/sessions/${row?.['session_id']}`)).toBe(403);
  });
});

test('[A8] the devices of a role are devices of the account', async () => {
  const [foreign = 0] = stranger.deviceIds;
  const role = { name: 'Of devices', permissions: ['chats'] };
  for (const device_ids of [[foreign], [ours.device, foreign, 9_999_999]]) {
    const answer = await ask(admin, 'POST', '/api/roles', { ...role, device_ids });
    expect(answer.status).toBe(422);
    expect(answer.body.details.device_ids).toContain(foreign);
    expect(answer.body.details.device_ids).not.toContain(ours.device);
  }
  const made = await ask(admin, 'POST', '/api/roles', { ...role, device_ids: [ours.device] });
  expect(made.body.data.device_ids).toEqual([ours.device]);
  const path = `/api/roles/${made.body.data.id}`;
  expect(await statusOf(admin, 'PATCH', path, { device_ids: [foreign] })).toBe(422);
  expect((await ask(admin, 'PATCH', path, { device_ids: null })).body.data.device_ids).toBe(
    undefined,
  );
});
