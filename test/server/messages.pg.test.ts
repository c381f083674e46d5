import { beforeAll, describe, expect, test } from 'vitest';
import { messages } from '../../domain/entities/messages.ts';
import { publishedColumns } from '../../domain/entity.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import { column, join, sql } from '../../platform/sql.ts';
import { idsOf } from '../support/conversation-fixture.ts';
import { restrictedTo } from './restricted-role.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

/** Messages of the long chat; three of them share each moment. */
const LENGTH = 130;
let api: TestApi;
let one: Caller;
let two: Caller;
let chatId: number;
/** Newest first. */
let ids: number[];

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
  chatId = one.chatIds[1] ?? 0;
  ids = await idsOf(
    api.owner,
    sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, sent_at)
      select ${one.accountId}, ${chatId}, 'Line ' || number || ' of a talk', number % 2 = 0,
        now() - (number / 3) * interval '1 minute'
      from generate_series(1, ${LENGTH}::integer) as number
      returning id`,
  );
  const rows = await api.owner.query(sql`
    select id from public.messages where id = any(${ids}::bigint[]) order by sent_at desc, id desc`);
  ids = rows.map((row) => Number(row['id']));
});

const page = (query = '', chat = chatId, caller: { token: string } = one) =>
  api.ask(caller, 'GET', `/api/chats/${chat}/messages${query}`);
/** Statements since the list was emptied, without the one that asks who is calling. */
const ownStatements = (): string[] =>
  api.statements.filter((text) => !text.includes('public.sessions'));
const idsIn = (answer: { body: { data: { id: number }[] } }): number[] =>
  answer.body.data.map(({ id }) => id);

describe('a page of a chat', () => {
  test('is the newest one when nothing else is asked for', async () => {
    const answer = await page();
    expect(answer.status).toBe(200);
    expect(answer.headers['clarin-cache']).toBe('bypass');
    expect(idsIn(answer)).toEqual(ids.slice(0, 50));
    expect(answer.body).toMatchObject({ has_older: true, has_newer: false, limit: 50 });
  });

  test('goes on to the beginning, through messages of the same moment, and back to the end', async () => {
    const seen: number[] = [];
    let answer = await page('?limit=40');
    for (;;) {
      seen.push(...idsIn(answer));
      if (!answer.body.has_older) break;
      answer = await page(`?limit=40&before=${seen.at(-1)}`);
      expect(answer.body.has_newer).toBe(true);
    }
    expect(seen).toEqual(ids);

    const back: number[] = [];
    for (;;) {
      answer = await page(`?limit=40&after=${back[0] ?? ids.at(-1)}`);
      expect(answer.body.has_older).toBe(true);
      back.unshift(...idsIn(answer));
      if (!answer.body.has_newer) break;
    }
    expect(back).toEqual(ids.slice(0, -1));
  });

  test('shows what stands around a message, and says whether it goes on', async () => {
    const around = await page(`?limit=10&around=${ids[60]}`);
    expect(idsIn(around)).toEqual(ids.slice(55, 65));
    expect(around.body).toMatchObject({ has_older: true, has_newer: true });
    const newest = await page(`?limit=10&around=${ids[0]}`);
    expect(idsIn(newest)).toEqual(ids.slice(0, 5));
    expect(newest.body).toMatchObject({ has_older: true, has_newer: false });
    const oldest = await page(`?limit=10&around=${ids.at(-1)}`);
    expect(idsIn(oldest)).toEqual(ids.slice(-6));
    expect(oldest.body).toMatchObject({ has_older: false, has_newer: true });
    const alone = await page(`?limit=1&around=${ids[60]}`);
    expect(idsIn(alone)).toEqual([ids[60]]);
    expect(alone.body).toMatchObject({ has_older: true, has_newer: true });
  });

  test('has reactions and votes in its messages, by one statement, and no rows of them', async () => {
    const first = one.chatIds[0] ?? 0;
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_type, body, is_from_me, from_jid, target_message_id)
      values (${one.accountId}, ${first}, 'reaction', '❤️', false, '51999000001@s.whatsapp.net', 'OUT1')`);
    api.statements.length = 0;
    const answer = await page('', first);
    expect(ownStatements()).toHaveLength(1);
    expect(idsIn(answer)).toEqual(one.messageIds.toReversed());
    const [poll, own, inbound] = answer.body.data;
    expect(poll.votes).toMatchObject([{ voter_jid: 'me', options: ['Today'] }]);
    expect(own.reactions).toMatchObject([
      { sender_jid: '51999000001@s.whatsapp.net', emoji: '❤️' },
    ]);
    expect(inbound.reactions).toMatchObject([{ sender_jid: 'me', emoji: '👍' }]);
    expect(inbound.votes).toEqual([]);
  });

  test('holds rows that are byte for byte those of the feed', async () => {
    const columns = publishedColumns(messages);
    const [row] = await api.owner.query(sql`
      select ${join(columns.map((name) => column('entity', name)))}
      from public.messages as entity where id = ${ids[0]}`);
    const fed = compileRowWriter(messages, columns)(columns.map((name) => row?.[name]));
    const embeds = ',"reactions":[],"votes":[]}';
    expect((await page('?limit=1')).text).toContain(`{"data":[${fed.slice(0, -1)}${embeds}]`);
    const single = await api.ask(one, 'GET', `/api/messages/${ids[0]}`);
    expect(single.text).toBe(`{"data":${fed.slice(0, -1)}${embeds}}`);
  });

  test('is empty in a chat in which nothing was said', async () => {
    const answer = await page('', one.chatIds[3]);
    expect(answer.body).toEqual({ data: [], has_older: false, has_newer: false, limit: 50 });
  });

  test('refuses what it cannot go on from', async () => {
    for (const query of ['?limit=0', '?limit=201', '?before=x', '?after=0', '?cursor=1'])
      expect({ query, status: (await page(query)).status }).toEqual({ query, status: 400 });
    expect((await page(`?before=${ids[0]}&after=${ids[5]}`)).status).toBe(400);
    // Of another chat, of another account, and a row that is no message of the conversation.
    const [action] = await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_type, is_from_me, target_message_id)
      values (${one.accountId}, ${chatId}, 'revoke', true, 'nobody') returning id`);
    for (const anchor of [one.messageIds[0], two.messageIds[0], action?.['id'], 9007199254740991])
      expect((await page(`?around=${anchor}`)).status).toBe(404);
  });
});

describe('whoever may not see a chat', () => {
  test('finds neither it nor its messages in another account', async () => {
    expect((await page('', chatId, two)).status).toBe(404);
    expect((await api.ask(two, 'GET', `/api/messages/${ids[0]}`)).status).toBe(404);
    expect((await api.ask(two, 'GET', '/api/messages?search=of+a+talk')).body.data).toEqual([]);
  });

  test('finds neither it nor its messages by another device', async () => {
    // The long chat is on the first device, the fixture's conversation on the second.
    const [device, other] = one.deviceIds;
    const inside = await restrictedTo(api, one, [device]);
    const outside = await restrictedTo(api, one, [other]);
    const search = '/api/messages?search=of+a+talk&limit=200';
    expect((await page('', chatId, inside)).status).toBe(200);
    expect((await page('', chatId, outside)).status).toBe(404);
    expect((await page(`?before=${ids[9]}`, chatId, outside)).status).toBe(404);
    expect((await api.ask(inside, 'GET', `/api/messages/${ids[0]}`)).status).toBe(200);
    expect((await api.ask(outside, 'GET', `/api/messages/${ids[0]}`)).status).toBe(404);
    expect((await api.ask(inside, 'GET', search)).body.data).toHaveLength(LENGTH);
    expect((await api.ask(outside, 'GET', search)).body.data).toEqual([]);
    const asked = await api.ask(outside, 'GET', `${search}&device_id=${device}&chat_id=${chatId}`);
    expect(asked.body.data).toEqual([]);
  });

  test('needs the permission', async () => {
    const caller = { token: await api.tokenOf(one, ['leads']) };
    for (const path of [
      `/api/chats/${chatId}/messages`,
      `/api/messages/${ids[0]}`,
      '/api/messages?search=talk',
    ])
      expect((await api.ask(caller, 'GET', path)).status).toBe(403);
  });
});

describe('the search', () => {
  const search = (query: string, caller: { token: string } = one) =>
    api.ask(caller, 'GET', `/api/messages?${query}`);

  test('finds texts anywhere in all chats, newest first, with the chat, by one statement', async () => {
    api.statements.length = 0;
    const answer = await search('search=MORNING');
    expect(answer.status).toBe(200);
    expect(ownStatements()).toHaveLength(1);
    expect(idsIn(answer)).toEqual([one.messageIds[1], one.messageIds[0]]);
    expect(answer.body.data[0].chat).toEqual({
      id: one.chatIds[0],
      contact_id: one.contactIds[0],
    });
    expect(answer.body.data[1].reactions).toMatchObject([{ emoji: '👍' }]);
    expect(answer.body).not.toHaveProperty('total');
  });

  test('goes on by cursor, in the account and in one chat alike', async () => {
    for (const scope of ['', `&chat_id=${chatId}`]) {
      const seen: number[] = [];
      let answer = await search(`search=of a talk&limit=40${scope}`);
      for (;;) {
        seen.push(...idsIn(answer));
        const next = answer.body.next_cursor;
        if (next === undefined) break;
        answer = await search(`search=of a talk&limit=40${scope}&cursor=${next}`);
      }
      expect(seen).toEqual(ids);
    }
  });

  test('keeps to chat, device and time', async () => {
    const count = async (query: string) =>
      (await search(`search=of a talk&limit=200&${query}`)).body.data.length;
    expect(await count(`chat_id=${chatId}`)).toBe(LENGTH);
    expect(await count(`chat_id=${one.chatIds[0]}`)).toBe(0);
    expect(await count(`device_id=${one.deviceIds[0]}`)).toBe(LENGTH);
    expect(await count(`device_id=${one.deviceIds[1]}`)).toBe(0);
    const moments = await api.owner.query(sql`
      select to_char(sent_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
      from public.messages where id = any(${[ids[0], ids[10]]}::bigint[]) order by sent_at desc`);
    const [newest, earlier] = moments.map((row) => row['at']);
    // Two at the newest moment, three at every other one.
    expect(await count(`from=${newest}`)).toBe(2);
    expect(await count(`from=${earlier}&to=${newest}`)).toBe(9);
  });

  test('takes two characters within a chat, and every sign as itself', async () => {
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me)
      values (${one.accountId}, ${one.chatIds[2]}, '100%_\\ sure', true)`);
    for (const sign of ['100%_', '100%_\\', '_\\ sure', '%_\\ SURE'])
      expect(idsIn(await search(`search=${encodeURIComponent(sign)}`))).toHaveLength(1);
    const inChat = await search(`search=Li&limit=200&chat_id=${chatId}`);
    expect(inChat.body.data).toHaveLength(LENGTH);
  });

  test('refuses what it cannot search for', async () => {
    for (const query of [
      '',
      'search=a',
      'search=%20a%20',
      'search=Li',
      'search=...',
      'search=a%20b%20c',
      'search=%F0%9F%98%80%F0%9F%98%80',
      `search=L&chat_id=${chatId}`,
      'search=a%00b',
      'search=talk&chat_id=x',
      'search=talk&device_id=-1',
      'search=talk&from=yesterday',
      'search=talk&limit=201',
      'search=talk&cursor=abc',
      'search=talk&page=2',
    ])
      expect({ query, status: (await search(query)).status }).toEqual({ query, status: 400 });
  });
});
