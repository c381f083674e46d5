import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { readWebhookBody } from '../../server/kommo/webhook-body.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

const FORM = 'application/x-www-form-urlencoded';
let api: TestApi;
let admin: Caller;
let stranger: Caller;
let connectionId: number;
let path: string;

const renew = async (caller = admin) =>
  api.ask(caller, 'POST', `/api/kommo/connections/${connectionId}/webhook`, {});
const call = (to: string, body: unknown, type = FORM) =>
  api.ask(undefined, 'POST', to, { body, headers: { 'content-type': type } });

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('kommo');
  stranger = await api.account('strangers');
  const connected = await api.ask(admin, 'POST', '/api/kommo/connections', {
    body: { subdomain: 'acme', access_token: 'a-token' },
  });
  connectionId = connected.body.data.id;
  path = (await renew()).body.data.path;
});

const hints = async () => {
  const rows = await api.owner.query(sql`
    select entity, kommo_id from private.kommo_hints where connection_id = ${connectionId} order by entity, kommo_id`);
  return rows.map((row) => `${row['entity']} ${row['kommo_id']}`);
};

describe('a call of Kommo', () => {
  test('is kept as ids to fetch, once each, whatever it says of them', async () => {
    const body =
      'leads[status][0][id]=20010001&leads[status][0][status_id]=142&leads[update][1][id]=20010002' +
      '&contacts[add][0][id]=406001&contacts[add][0][type]=contact&account[id]=31000001';
    for (let time = 0; time < 2; time++) expect((await call(path, body)).status).toBe(204);
    expect(await hints()).toEqual(['contact 406001', 'lead 20010001', 'lead 20010002']);
  });

  test('with nothing in it that we know is answered all the same', async () => {
    const before = await hints();
    for (const body of [
      '',
      'a=b',
      'leads[status][0][id]=0',
      'leads[status][0][id]=9007199254740993',
      '%ff=%00',
    ])
      expect({ body, status: (await call(path, body)).status }).toEqual({ body, status: 204 });
    expect(await hints()).toEqual(before);
  });

  test('to an address that is none of ours is a 404, and so is one that was renewed', async () => {
    const body = 'leads[status][0][id]=1';
    expect((await call(`/api/kommo/webhook/${'x'.repeat(43)}`, body)).status).toBe(404);
    expect((await call('/api/kommo/webhook/short', body)).status).toBe(404);
    const earlier = path;
    path = (await renew()).body.data.path;
    expect((await call(earlier, body)).status).toBe(404);
    expect((await call(path, 'leads[status][0][id]=20010001')).status).toBe(204);
  });

  test('of another Kommo account than the one that is read is refused', async () => {
    await api.owner.query(sql`
      update public.kommo_connections set kommo_account_id = 31000001 where id = ${connectionId}`);
    const body = (id: number) => `leads[status][0][id]=777&account[id]=${id}`;
    expect((await call(path, body(31000002))).status).toBe(400);
    expect(await hints()).not.toContain('lead 777');
    expect((await call(path, body(31000001))).status).toBe(204);
    expect(await hints()).toContain('lead 777');
  });

  test('that is too large, or no form, is refused', async () => {
    expect((await call(path, `a=${'x'.repeat(300_000)}`)).status).toBe(413);
    expect((await call(path, { leads: [] }, 'application/json')).status).toBe(400);
    expect((await call(path, '<x/>', 'application/xml')).status).toBe(400);
  });

  test('is answered, and kept by nobody, where thousands wait already and where the account is closed', async () => {
    const waiting = async () => (await hints()).length;
    await api.owner.query(
      sql`delete from private.kommo_hints where connection_id = ${connectionId}`,
    );
    const setActive = (isActive: boolean) =>
      api.owner.query(
        sql`update public.accounts set is_active = ${isActive} where id = ${admin.accountId}`,
      );
    await setActive(false);
    expect((await call(path, 'leads[status][0][id]=1')).status).toBe(204);
    expect(await waiting()).toBe(0);
    await setActive(true);
    await api.owner.query(sql`
      insert into private.kommo_hints (connection_id, entity, kommo_id)
      select ${connectionId}, 'lead', n from generate_series(1, 9999) as n`);
    for (const id of [20_001, 20_002])
      expect((await call(path, `leads[status][0][id]=${id}`)).status).toBe(204);
    expect(await waiting()).toBe(10_000);
    expect(await hints()).toContain('lead 20001');
  });

  test('to a connection that is disconnected or another account’s is none', async () => {
    expect((await renew(stranger)).status).toBe(404);
    await api.ask(admin, 'POST', `/api/kommo/connections/${connectionId}/disconnect`, {});
    expect((await call(path, 'leads[status][0][id]=1')).status).toBe(404);
  });
});

describe('the form of a call', () => {
  test('names leads that were accepted, and no more than 500 rows', () => {
    const accepted =
      'unsorted[delete][0][action]=accept&unsorted[delete][0][accept_result][leads][0]=20010777';
    expect(readWebhookBody(accepted).hints).toEqual([{ entity: 'lead', kommoId: 20010777 }]);
    const many = Array.from({ length: 600 }, (_, at) => `leads[update][${at}][id]=${at + 1}`).join(
      '&',
    );
    expect(readWebhookBody(many).hints).toHaveLength(500);
  });
});
