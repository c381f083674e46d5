import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, statusesOf, type Caller, type TestApi } from './support.ts';
import { eventually } from '../support/services.ts';
import { idsOf } from '../support/conversation-fixture.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let winner: number;
let loser: number;
let third: number;
let people = 0;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

beforeEach(async () => {
  const n = people++;
  [winner = 0, loser = 0, third = 0] = await idsOf(
    api.owner,
    sql`
      insert into public.contacts (account_id, name, jid, phone, email, company, kommo_id, custom_fields)
      values
        (${one.accountId}, 'Ana', null, '5198888800' || ${String(n)}, null, null, null, '{"a": 1}'),
        (${one.accountId}, 'Anita', ${`${n}-2@s.whatsapp.net`}, '5197777700' || ${String(n)}, 'ana@example.com', null,
          ${1000 + n}, '{"a": 2, "b": 2}'),
        (${one.accountId}, null, ${`${n}-3@s.whatsapp.net`}, null, 'other@example.com', 'Third', null, '{}')
      returning id`,
  );
});

const merge = (ids: readonly number[] = [loser, third], headers: Record<string, string> = {}) =>
  api.ask(one, 'POST', `/api/contacts/${winner}/merge`, { body: { contact_ids: ids }, headers });
const preview = (ids: readonly number[] = [loser, third], caller: { token: string } = one) =>
  api.ask(caller, 'GET', `/api/contacts/${winner}/merge?contact_ids=${ids.join()}`);
const count = async (table: 'chats' | 'leads' | 'interactions', contactId: number) => {
  const { body } = await api.ask(one, 'GET', `/api/${table}?contact_id=${contactId}`);
  return body.total as number;
};

async function giveBelongings(contactId: number, jid: string, device = 0): Promise<void> {
  const { accountId, deviceIds } = one;
  await api.owner.query(sql`
    insert into public.chats (account_id, device_id, contact_id, jid)
    values (${accountId}, ${deviceIds[device]}, ${contactId}, ${jid})`);
  await api.owner.query(sql`
    insert into public.leads (account_id, contact_id, title, stage_id)
    values (${accountId}, ${contactId}, 'Belongs', ${one.stages.active[0]})`);
  await api.owner.query(sql`
    insert into public.interactions (account_id, kind, contact_id) values (${accountId}, 'note', ${contactId})`);
}

describe('a merge', () => {
  test('moves chats, leads, interactions, tags and identities, and the others are gone', async () => {
    await giveBelongings(loser, `chat-${loser}`);
    await giveBelongings(third, `chat-${third}`, 1);
    const [first, second] = one.tagIds;
    await api.owner.query(sql`
      insert into public.contact_tags (account_id, contact_id, tag_id)
      values (${one.accountId}, ${winner}, ${first}), (${one.accountId}, ${loser}, ${first}),
        (${one.accountId}, ${loser}, ${second}), (${one.accountId}, ${third}, ${second})`);
    const planned = await preview();
    expect(planned.body.data.moves).toEqual({
      chats: 2,
      leads: 2,
      interactions: 2,
      tags: 1,
      identities: 4,
      campaign_recipients: 0,
    });
    const merged = await merge();
    expect(merged.status).toBe(200);
    expect(merged.body.data.tags.map((tag: { id: number }) => tag.id)).toEqual([first, second]);
    expect(merged.body.data.devices.map((device: { id: number }) => device.id)).toEqual(
      one.deviceIds,
    );
    for (const table of ['chats', 'leads', 'interactions'] as const)
      expect({ table, count: await count(table, winner) }).toEqual({ table, count: 2 });
    for (const gone of [loser, third])
      expect((await api.ask(one, 'GET', `/api/contacts/${gone}`)).status).toBe(404);
    expect((await api.ask(one, 'GET', `/api/contacts/${winner}`)).text).toBe(merged.text);
    const { body } = await api.ask(one, 'GET', `/api/contact_identities?contact_id=${winner}`);
    expect(body.total).toBe(5);
  });

  test('shows beforehand what it makes: the winner, its gaps filled in order', async () => {
    await api.owner.query(sql`
      update public.contacts set do_not_contact = true, do_not_contact_reason = 'asked us'
      where id = ${third}`);
    const planned = await preview();
    expect(planned.status).toBe(200);
    expect(planned.body.data.contact).toMatchObject({
      id: winner,
      display_name: 'Ana',
      email: 'ana@example.com',
      company: 'Third',
      custom_fields: { a: 1, b: 2 },
      do_not_contact: true,
      do_not_contact_reason: 'asked us',
    });
    const { updated_at: _before, ...expected } = planned.body.data.contact;
    expect((await merge()).body.data).toMatchObject(expected);
  });

  test('leaves an address of a loser that the next message finds', async () => {
    const { body } = await api.ask(one, 'GET', `/api/contacts/${third}`);
    await merge();
    const rows = await api.owner.query(sql`
      select contact_id from public.contact_identities
      where account_id = ${one.accountId} and kind = 'jid' and value = ${body.data.jid}`);
    expect(rows).toEqual([{ contact_id: String(winner) }]);
  });

  test('keeps what devices call the winner, and takes a name where there was none', async () => {
    const { accountId, deviceIds } = one;
    await api.owner.query(sql`
      insert into public.contact_device_names (account_id, contact_id, device_id, name)
      values (${accountId}, ${winner}, ${deviceIds[0]}, 'Mine'), (${accountId}, ${loser}, ${deviceIds[0]}, 'Theirs'),
        (${accountId}, ${winner}, ${deviceIds[1]}, null), (${accountId}, ${loser}, ${deviceIds[1]}, null),
        (${accountId}, ${third}, ${deviceIds[1]}, 'Found')`);
    expect((await merge()).status).toBe(200);
    const rows = await api.owner.query(sql`
      select name from public.contact_device_names where contact_id = ${winner} order by device_id`);
    expect(rows).toEqual([{ name: 'Mine' }, { name: 'Found' }]);
  });

  test('leaves one place in each campaign, the one that is furthest: nobody is written to twice', async () => {
    const [campaign, other] = await idsOf(
      api.owner,
      sql`
        insert into public.campaigns (account_id, name, template)
        values (${one.accountId}, 'A', 'x'), (${one.accountId}, 'B', 'x') returning id`,
    );
    await api.owner.query(sql`
      insert into public.campaign_recipients (account_id, campaign_id, contact_id, status)
      values (${one.accountId}, ${campaign}, ${winner}, 'pending'), (${one.accountId}, ${campaign}, ${loser}, 'sent'),
        (${one.accountId}, ${campaign}, ${third}, 'failed'), (${one.accountId}, ${other}, ${third}, 'pending')`);
    expect((await preview()).body.data.moves.campaign_recipients).toBe(1);
    expect((await merge()).status).toBe(200);
    const rows = await api.owner.query(sql`
      select campaign_id, contact_id, status from public.campaign_recipients
      where campaign_id in (${campaign}, ${other}) order by campaign_id`);
    expect(rows).toEqual([
      { campaign_id: String(campaign), contact_id: String(winner), status: 'sent' },
      { campaign_id: String(other), contact_id: String(winner), status: 'pending' },
    ]);
    const counts = await api.ask(one, 'GET', `/api/campaigns/${campaign}`);
    expect(counts.body.data).toMatchObject({ total_count: 1, sent_count: 1 });
  });

  test('is all or nothing, and refuses what is not there, what is elsewhere and itself', async () => {
    expect((await merge([loser, two.contactIds[0] ?? 0])).status).toBe(404);
    expect((await preview([two.contactIds[0] ?? 0])).status).toBe(404);
    expect((await merge([winner])).status).toBe(422);
    expect((await merge([])).status).toBe(400);
    expect((await merge(Array.from({ length: 21 }, (_, n) => n + 1))).status).toBe(400);
    expect((await preview([Number.NaN])).status).toBe(400);
    await api.owner.query(sql`update public.contacts set is_group = true where id = ${third}`);
    expect((await merge()).status).toBe(422);
    const { status, body } = await api.ask(one, 'GET', `/api/contacts/${loser}`);
    expect([status, body.data.name]).toEqual([200, 'Anita']);
  });

  test('is refused to who has seen an older winner', async () => {
    const { headers } = await api.ask(one, 'GET', `/api/contacts/${winner}`);
    const seen = { 'if-match': headers['etag'] ?? '' };
    await api.ask(one, 'PATCH', `/api/contacts/${winner}`, { body: { company: 'New' } });
    expect((await merge([loser], seen)).status).toBe(412);
    const { headers: now } = await api.ask(one, 'GET', `/api/contacts/${winner}`);
    expect((await merge([loser], { 'if-match': now['etag'] ?? '' })).status).toBe(200);
  });

  test('of two into each other at once one is done, and nobody waits forever', async () => {
    const { value } = await api.owner.transaction(async (tx) => {
      await tx.query(sql`select id from public.contacts where id = ${winner} for update`);
      const asked = [
        merge([loser]),
        api.ask(one, 'POST', `/api/contacts/${loser}/merge`, { body: { contact_ids: [winner] } }),
      ];
      await eventually(
        async () => {
          const rows = await api.owner.query(sql`
            select pid from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`);
          return rows.length === 2;
        },
        { says: 'both wait' },
      );
      return { asked };
    });
    expect(statusesOf(await Promise.all(value.asked))).toEqual([200, 404]);
  });
});

describe('who may merge', () => {
  const mergeAs = (token: string) =>
    api.ask({ token }, 'POST', `/api/contacts/${winner}/merge`, { body: { contact_ids: [loser] } });

  test('needs the permission for what moves', async () => {
    const narrow = await api.tokenOf(one, ['contacts', 'leads']);
    await giveBelongings(loser, `chat-${loser}`);
    const refused = await mergeAs(narrow);
    expect([refused.status, refused.body.details]).toEqual([403, { permission: 'chats' }]);
    expect((await preview([loser], { token: narrow })).status).toBe(403);
    await api.owner.query(sql`delete from public.chats where contact_id = ${loser}`);
    expect((await mergeAs(narrow)).status).toBe(200);
    expect(await count('leads', winner)).toBe(1);
  });

  test('sees the devices of the chats that move', async () => {
    await giveBelongings(loser, `chat-${loser}`, 1);
    const token = await api.tokenOf(one, ['contacts', 'leads', 'chats']);
    const narrowTo = (device: number | undefined) =>
      api.owner.query(sql`
        update public.roles set device_ids = array[${device}::bigint]
        where account_id = ${one.accountId} and permissions = '{contacts,leads,chats}'`);
    await narrowTo(one.deviceIds[0]);
    expect((await mergeAs(token)).status).toBe(403);
    await narrowTo(one.deviceIds[1]);
    expect((await mergeAs(token)).status).toBe(200);
  });
});
